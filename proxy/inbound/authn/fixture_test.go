package authn

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"ticketproxy/config/callers"
	"ticketproxy/proxy/inbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ciURL    = "http://localhost:1/ci"
	otherURL = "http://localhost:2/other"
)

// signers are made once: RSA keys take long to make.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	all := map[string]crypto.Signer{}
	add := func(name string, key crypto.Signer, err error) {
		if err != nil {
			panic(err)
		}
		all[name] = key
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	add("rsa", r, err)
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	add("ec", e, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	add("ed", ed, err)
	e, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	add("other", e, err)
	e, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	add("next", e, err)
	e, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	add("stranger", e, err)
	e384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	add("p384", e384, err)
	return all
})

// A fakeIssuers answers for all issuers, over pipes, so that time is virtual. The key of a
// name has that name as its kid; "other" of the other issuer has the name ec.
type fakeIssuers struct {
	mu      sync.Mutex
	keys    map[string][]jose.JSONWebKey // by the issuer's URL
	down    bool
	fetches int // of keys
}

func (i *fakeIssuers) set(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
}

func (i *fakeIssuers) dial(context.Context, string, string) (net.Conn, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.down {
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
		i.mu.Lock()
		defer i.mu.Unlock()
		issuer, document := strings.CutSuffix("http://"+r.Host+r.URL.Path, "/.well-known/openid-configuration")
		if document {
			json.NewEncoder(w).Encode(map[string]string{"issuer": issuer, "jwks_uri": issuer})
		} else {
			i.fetches++
			json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: i.keys[issuer]})
		}
		w.Result().Write(theirs)
	}()
	return ours, nil
}

func public(name, kid string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: signers()[name].Public(), KeyID: kid}
}

func newFakeIssuers() *fakeIssuers {
	return &fakeIssuers{keys: map[string][]jose.JSONWebKey{
		ciURL:    {public("rsa", "rsa"), public("ec", "ec"), public("ed", "ed")},
		otherURL: {public("other", "ec"), public("other", "other")},
	}}
}

// A fixture is an Authenticator with callers, and what proves them.
type fixture struct {
	*Authenticator
	t       testing.TB
	issuers *fakeIssuers
	config  Config
	key     string // of shop
	report  string // key of report
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, issuers: newFakeIssuers()}
	shop, shopDigest := NewKey()
	report, reportDigest := NewKey()
	f.key, f.report = shop.Reveal(), report.Reveal()
	uid := uint32(1000)
	f.config = Config{
		File: callers.File{
			Issuers: map[string]callers.Issuer{
				"ci":    {Name: "ci", URL: ciURL, Audiences: []string{"ticketproxy"}},
				"other": {Name: "other", URL: otherURL, Audiences: []string{"ticketproxy", "second"}},
			},
			Callers: map[string]callers.Caller{
				"shop":    {Name: "shop", Keys: [][32]byte{shopDigest}, UID: &uid},
				"report":  {Name: "report", Keys: [][32]byte{reportDigest}},
				"nightly": {Name: "nightly", JWTs: []callers.JWT{nightly("project:42:", true)}},
				"robot":   {Name: "robot", JWTs: []callers.JWT{{Issuer: "other", Subject: callers.Pattern{Text: "robot"}}}},
				"erp":     {Name: "erp", Certificate: &callers.URIPattern{Text: "spiffe://example.org/ns/erp", Rest: true}},
				"till":    {Name: "till", Listen: &callers.Address{Network: "tcp", Address: "127.0.0.1:8083"}},
			},
		},
		PlaceholderKey: []byte(strings.Repeat("p", 32)),
		Dial:           f.issuers.dial,
	}
	var err error
	if f.Authenticator, err = New(f.config); err != nil {
		t.Fatal(err)
	}
	return f
}

func nightly(subject string, prefix bool) callers.JWT {
	return callers.JWT{
		Issuer:  "ci",
		Subject: callers.Pattern{Text: subject, Prefix: prefix},
		Claims:  []callers.Claim{{Name: "ref", Values: []any{"main"}}},
	}
}

// virtual runs a test of a fixture in virtual time.
func virtual(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	signers()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		test(t, f)
		f.Close()
	})
}

// A token is what a JWT is made of.
type token struct {
	header map[string]any
	claims map[string]any
	signer string
}

// valid returns the parts of a token that proves nightly.
func valid() token {
	now := time.Now().Unix()
	return token{
		header: map[string]any{"alg": "ES256", "kid": "ec"},
		claims: map[string]any{
			"iss": ciURL, "aud": "ticketproxy", "sub": "project:42:x", "ref": "main", "iat": now, "exp": now + 600,
		},
		signer: "ec",
	}
}

// with returns the token with changed claims; one that is nil is left out.
func (k token) with(pairs ...any) token { return token{k.header, change(k.claims, pairs), k.signer} }

// head returns the token with a changed header.
func (k token) head(pairs ...any) token { return token{change(k.header, pairs), k.claims, k.signer} }

func (k token) by(signer string) token { return token{k.header, k.claims, signer} }

func change(of map[string]any, pairs []any) map[string]any {
	changed := map[string]any{}
	for name, value := range of {
		changed[name] = value
	}
	for i := 0; i < len(pairs); i += 2 {
		changed[pairs[i].(string)] = pairs[i+1]
		if pairs[i+1] == nil {
			delete(changed, pairs[i].(string))
		}
	}
	return changed
}

func (k token) String() string {
	header, _ := json.Marshal(k.header)
	payload, _ := json.Marshal(k.claims)
	return sign(string(header), string(payload), k.signer)
}

// damaged returns text with another character of base64url at one place: most other bytes
// would make it no token at all.
func damaged(text string, at int) string {
	other := "A"
	if text[at] == 'A' {
		other = "B"
	}
	return text[:at] + other + text[at+1:]
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// sign signs any header and payload as the signer's key does, without a look at them.
func sign(header, payload, signer string) string {
	text := encode(header) + "." + encode(payload)
	return text + "." + encode(signature(text, signer))
}

func signature(text, signer string) string {
	var sum []byte
	switch signer {
	case "none":
		return ""
	case "p384":
		hash := crypto.SHA384.New()
		hash.Write([]byte(text))
		sum = hash.Sum(nil)
	default:
		hash := crypto.SHA256.New()
		hash.Write([]byte(text))
		sum = hash.Sum(nil)
	}
	switch key := signers()[signer].(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, sum)
		if err != nil {
			panic(err)
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		return string(append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...))
	case *rsa.PrivateKey:
		signed, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum)
		if err != nil {
			panic(err)
		}
		return string(signed)
	case ed25519.PrivateKey:
		return string(ed25519.Sign(key, []byte(text)))
	}
	panic("no signer " + signer)
}

// request returns a request with header fields, which come in pairs.
func request(fields ...string) *http.Request {
	r := &http.Request{Method: "GET", URL: &url.URL{Path: "/"}, Header: http.Header{}, RemoteAddr: "192.0.2.1:1234"}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	return r
}

func bearer(text string) *http.Request { return request("Authorization", "Bearer "+text) }

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// outcome returns who was proved and how, or the status and detail of the answer.
func outcome(c inbound.Caller, p *inbound.Problem) string {
	if p != nil {
		if c.Name != "" {
			return "a caller beside a problem"
		}
		return http.StatusText(p.Status) + ": " + p.Detail
	}
	return c.Name + " by " + c.Proof
}

func (f *fixture) ask(r *http.Request) string { return outcome(f.Authenticate(r)) }
