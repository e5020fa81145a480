package jwks

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuerURL = "http://localhost:1/tenant"

// A fakeIssuer answers over pipes, so that its time is virtual.
type fakeIssuer struct {
	mu     sync.Mutex
	keys   []jose.JSONWebKey
	down   bool
	takes  time.Duration
	asked  []string
	change func(w http.ResponseWriter, r *http.Request) bool // answers otherwise
}

func (i *fakeIssuer) set(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
}

func (i *fakeIssuer) fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.asked)
}

func (i *fakeIssuer) dial(context.Context, string, string) (net.Conn, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.down {
		i.asked = append(i.asked, "refused")
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		r, err := http.ReadRequest(bufio.NewReader(theirs))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		w.Result().Write(theirs)
	}()
	return ours, nil
}

func (i *fakeIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.asked = append(i.asked, r.URL.Path)
	takes, change, keys := i.takes, i.change, i.keys
	i.mu.Unlock()
	time.Sleep(takes)
	if change != nil && change(w, r) {
		return
	}
	switch r.URL.Path {
	case "/tenant/.well-known/openid-configuration":
		json.NewEncoder(w).Encode(map[string]string{"issuer": issuerURL, "jwks_uri": "http://localhost:1/keys"})
	case "/keys":
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys})
	default:
		http.NotFound(w, r)
	}
}

func newKey(t testing.TB, kid string) jose.JSONWebKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: key.Public(), KeyID: kid, Use: "sig", Algorithm: "ES256"}
}
