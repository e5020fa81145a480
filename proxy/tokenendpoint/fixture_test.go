package tokenendpoint_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/tokenendpoint"
	"ticketproxy/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canary is in the access token, and in no other answer.
const canary = "access-canary"

// A source is an account that notes what it is asked for.
type source struct {
	lifetime time.Duration // 0: the token has no expiry
	err      error

	mu      sync.Mutex
	least   []time.Duration
	refused []string
}

func (s *source) TokenFor(_ context.Context, least time.Duration) (tokenendpoint.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.least = append(s.least, least)
	t := tokenendpoint.Token{Token: proxy.Token{AccessToken: secret.New(canary), Generation: 7}}
	if s.lifetime != 0 {
		t.Expiry = time.Now().Add(s.lifetime)
	}
	return t, s.err
}

func (s *source) Replace(ctx context.Context, refused secret.String, least time.Duration) (tokenendpoint.Token, error) {
	s.mu.Lock()
	s.refused = append(s.refused, refused.Reveal())
	s.mu.Unlock()
	return s.TokenFor(ctx, least)
}

// fakeCallers is an Authorizer: each caller's key, and the accounts whose tokens it may have.
type fakeCallers map[string]struct {
	key      string
	accounts []string
}

func (c fakeCallers) Authorize(r *http.Request, account string) (inbound.Caller, *inbound.Problem) {
	name, key, ok := r.BasicAuth()
	if known, listed := c[name]; !ok || !listed || known.key != key {
		p := inbound.NewProblem(http.StatusUnauthorized, "unauthenticated", "The caller is not known", "unknown key")
		p.Challenge = inbound.Challenges()
		return inbound.Caller{}, p
	}
	caller := inbound.Caller{Name: name, Proof: "key"}
	if !slices.Contains(c[name].accounts, account) {
		return caller, inbound.NewProblem(http.StatusForbidden, "forbidden", "The caller may not do this",
			"it may not have tokens of this account")
	}
	return caller, nil
}

// testCallers are two callers and their keys.
func testCallers() fakeCallers {
	return fakeCallers{"shop": {"tpk_shop", []string{"park"}}, "erp": {"tpk_erp", nil}}
}

// A fixture is the handler for two accounts.
type fixture struct {
	park, shop *source
	handler    http.Handler
}

func newFixture(change ...func(*tokenendpoint.Config)) *fixture {
	f := &fixture{park: &source{lifetime: time.Hour}, shop: &source{}}
	c := tokenendpoint.Config{
		Guard:    new(inbound.Guard),
		Accounts: map[string]tokenendpoint.Source{"park": f.park, "shop": f.shop},
	}
	for _, change := range change {
		change(&c)
	}
	f.handler = tokenendpoint.New(c)
	return f
}

func withCallers(c *tokenendpoint.Config) { c.Authorizer = testCallers() }

// request returns a request that comes to a loopback address. The header has lines "Name: value".
func request(method, target, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host, r.RemoteAddr = "127.0.0.1:8082", "127.0.0.1:40000"
	r.URL.Scheme, r.URL.Host = "", ""
	if method == http.MethodPost && body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Content-Type" {
			r.Header.Del(name)
		}
		r.Header.Add(name, value)
	}
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8082}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
}

// get is a GET as curl sends it.
func get(target string, header ...string) *http.Request {
	return request(http.MethodGet, target, "", append(header, "Ticketproxy-Request: true")...)
}

// post is a POST as an OAuth client sends it.
func post(target, more string, header ...string) *http.Request {
	return request(http.MethodPost, target, "grant_type=client_credentials"+more, header...)
}

func basic(name, key string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+key))
}

// An answer is a response with the members of its body.
type answer struct {
	*http.Response
	text    string
	members map[string]any
}

func (f *fixture) do(t *testing.T, r *http.Request) answer {
	t.Helper()
	recorder := httptest.NewRecorder()
	f.handler.ServeHTTP(recorder, r)
	a := answer{Response: recorder.Result()}
	body, err := io.ReadAll(a.Body)
	if err == nil {
		err = json.Unmarshal(body, &a.members)
	}
	if err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	a.text = string(body)
	if a.StatusCode != http.StatusOK && strings.Contains(a.text, canary) {
		t.Errorf("the answer %d has a token: %s", a.StatusCode, a.text)
	}
	if strings.Contains(a.text, "refresh_token") {
		t.Errorf("the answer has a refresh token: %s", a.text)
	}
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("header %v", a.Header)
	}
	return a
}

// refuse fails the test unless the request gets a problem with that status and code.
func (f *fixture) refuse(t *testing.T, r *http.Request, status int, code string) answer {
	t.Helper()
	a := f.do(t, r)
	if a.StatusCode != status || a.Header.Get(inbound.ErrorHeader) != code || a.members["code"] != code {
		t.Errorf("%s %s: %s, want %d %s: %s", r.Method, r.URL, a.Status, status, code, a.text)
	}
	contentType := "application/problem+json"
	if r.Method == http.MethodPost {
		contentType = "application/json"
		if a.members["error"] == nil || a.Header.Get("Pragma") != "no-cache" {
			t.Errorf("no error of RFC 6749: %s", a.text)
		}
	} else if a.members["error"] != nil {
		t.Errorf("members of OAuth in the answer to %s: %s", r.Method, a.text)
	}
	if got := a.Header.Get("Content-Type"); got != contentType {
		t.Errorf("Content-Type %q, want %q", got, contentType)
	}
	return a
}

// serve fails the test unless the request gets a token.
func (f *fixture) serve(t *testing.T, r *http.Request) answer {
	t.Helper()
	a := f.do(t, r)
	if a.StatusCode != http.StatusOK || a.members["access_token"] != canary || a.members["token_type"] != "Bearer" {
		t.Errorf("%s %s: %s %s", r.Method, r.URL, a.Status, a.text)
	}
	if a.Header.Get("Pragma") != "no-cache" || a.Header.Get("Content-Type") != "application/json" || a.Header.Get(inbound.ErrorHeader) != "" {
		t.Errorf("header %v", a.Header)
	}
	return a
}
