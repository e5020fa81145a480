package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/proxy"
	"ticketproxy/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newServer returns a server of two upstreams. More are variables, as NAME=value.
func newServer(t *testing.T, more ...string) *Server {
	t.Helper()
	vars := []string{"TICKETPROXY_STATE=memory:", "TICKETPROXY_UPSTREAMS=park,shop", "TICKETPROXY_SHOP_LISTEN=127.0.0.1:8081"}
	for _, prefix := range []string{"TICKETPROXY_PARK_", "TICKETPROXY_SHOP_"} {
		vars = append(vars, prefix+"PROVIDER=generic", prefix+"CLIENT_ID=x", prefix+"CLIENT_AUTH=none", prefix+"ROTATION=none",
			prefix+"UPSTREAM_URL=https://api.example.com", prefix+"TOKEN_URL=https://issuer.example.com/token")
	}
	c, err := config.Parse(config.Environment{Vars: append(vars, more...)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(c, Options{Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestHungReloadDoesNotHoldUpTheDrain checks that the program ends while a reload
// after SIGHUP waits for a disk that does not answer.
func TestHungReloadDoesNotHoldUpTheDrain(t *testing.T) {
	t.Parallel()
	hangup, reading, answer := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	s := newServer(t, "TICKETPROXY_PARK_LISTEN=127.0.0.1:0", "TICKETPROXY_SHOP_LISTEN=127.0.0.1:0", "TICKETPROXY_ADMIN_LISTEN=off")
	s.options.Signals.Hangup = hangup
	s.options.Reload = func() (config.Config, []config.Mistake) {
		close(reading)
		<-answer
		return config.Config{}, nil
	}
	ctx, end := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- s.run(ctx, func([]net.Addr) { hangup <- struct{}{} }) }()
	<-reading
	end()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	close(answer)
}

// A rotatingSource gives another token at each Renew.
type rotatingSource struct{ tokens int }

func (h *rotatingSource) Token(context.Context) (proxy.Token, error) {
	return proxy.Token{AccessToken: secret.New(fmt.Sprint("token", h.tokens)), Generation: uint64(h.tokens)}, nil
}

func (h *rotatingSource) Renew(ctx context.Context, _ proxy.Token) (proxy.Token, error) {
	h.tokens++
	return h.Token(ctx)
}

func (h *rotatingSource) Refused(proxy.Token) {}

// TestListenersShareTheReplayBudget checks that all listeners keep bodies for replay
// in one memory budget, also after a reload.
func TestListenersShareTheReplayBudget(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if io.Copy(io.Discard, r.Body); r.Header.Get("Authorization") == "Bearer token0" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer api.Close()
	s := newServer(t, "TICKETPROXY_PARK_UPSTREAM_URL="+api.URL, "TICKETPROXY_SHOP_UPSTREAM_URL="+api.URL)
	for range 2 {
		var kept int64
		for ; s.kept.TryAcquire(1 << 10); kept += 1 << 10 {
		}
		for _, want := range []int{http.StatusUnauthorized, http.StatusOK} {
			s.sources = map[string]proxy.TokenSource{"park": new(rotatingSource), "shop": new(rotatingSource)}
			s.use(s.config)
			for _, l := range s.apps {
				app := httptest.NewServer(l)
				res, err := app.Client().Post(app.URL, "", strings.NewReader("text"))
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				app.Close()
				if res.StatusCode != want {
					t.Errorf("%s answers %d, want %d", l.purpose(), res.StatusCode, want)
				}
			}
			s.kept.Release(kept)
			kept = 0
		}
	}
}

func TestServerWarnsOfExposedSecrets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, "TICKETPROXY_PARK_REFRESH_TOKEN_FILE="+path)
	if all := s.warnings(); len(all) != 1 || !strings.Contains(all[0], "TICKETPROXY_PARK_REFRESH_TOKEN_FILE (mode 0644)") {
		t.Errorf("warnings %q", all)
	}
}
