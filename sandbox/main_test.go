package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"ticketproxy/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// A call is one request; header lines are "Name: value".
type call struct {
	method, target string
	header         []string
	body           string
}

func (c call) request() *http.Request {
	r := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
	for _, line := range c.header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// serve serves the call; aborted means that the connection was dropped.
func serve(p *sandbox.Provider, c call) (w *httptest.ResponseRecorder, aborted bool) {
	w = httptest.NewRecorder()
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				panic(v)
			}
			aborted = true
		}
	}()
	p.ServeHTTP(w, c.request())
	return w, false
}

// answerOf serves the call and requires the status.
func answerOf(t *testing.T, p *sandbox.Provider, status int, c call) *httptest.ResponseRecorder {
	t.Helper()
	w, aborted := serve(p, c)
	if aborted {
		t.Fatalf("%s %s: connection dropped", c.method, c.target)
	}
	if w.Code != status {
		t.Fatalf("%s %s: got %d %s, want %d", c.method, c.target, w.Code, w.Body, status)
	}
	return w
}

func decoded[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("decoding %q: %v", w.Body, err)
	}
	return v
}

type grant struct {
	TokenType    string `json:"token_type"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int    `json:"expires_in"`
}

// refreshCall returns the documented refresh request.
func refreshCall(p *sandbox.Provider, token string) call {
	params := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {p.ClientID}}
	if p.ClientSecret != "" {
		params.Set("client_secret", p.ClientSecret)
	}
	return call{"POST", p.TokenPath, []string{"Content-Type: " + formType}, params.Encode()}
}

func refresh(t *testing.T, p *sandbox.Provider, token string) grant {
	t.Helper()
	return decoded[grant](t, answerOf(t, p, http.StatusOK, refreshCall(p, token)))
}

// mustRefuseRefresh requires that the refresh token is refused.
func mustRefuseRefresh(t *testing.T, p *sandbox.Provider, token string) {
	t.Helper()
	w, aborted := serve(p, refreshCall(p, token))
	if aborted || w.Code != http.StatusBadRequest && w.Code != http.StatusUnauthorized {
		t.Fatalf("%s: a refresh that should be refused got %d %s", p.Name, w.Code, w.Body)
	}
}

func bearer(token string) string { return "Authorization: Bearer " + token }

// probe returns an API request that changes nothing.
func probe(p *sandbox.Provider, token string) call {
	path := map[string]string{"socialboards": "/Teammates", "openticket": "/users/me", "ticketpark": "/events/"}[p.Name]
	return call{"GET", path, []string{bearer(token)}, ""}
}

func mustAccept(t *testing.T, p *sandbox.Provider, token string) {
	t.Helper()
	answerOf(t, p, http.StatusOK, probe(p, token))
}

func mustReject(t *testing.T, p *sandbox.Provider, token string) {
	t.Helper()
	answerOf(t, p, http.StatusUnauthorized, probe(p, token))
}

func newAccessToken(t *testing.T, p *sandbox.Provider) string {
	t.Helper()
	return refresh(t, p, p.Seed()).AccessToken
}

// forEachProvider runs a test for every provider of a new sandbox.
func forEachProvider(t *testing.T, o sandbox.Options, run func(*testing.T, *sandbox.Provider)) {
	t.Helper()
	for _, p := range sandbox.New(o).Providers() {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			run(t, p)
		})
	}
}

func wantHeader(t *testing.T, w *httptest.ResponseRecorder, name, want string) {
	t.Helper()
	if got := w.Header().Get(name); got != want {
		t.Errorf("%s: got %q, want %q", name, got, want)
	}
}

func wantBody(t *testing.T, w *httptest.ResponseRecorder, want string) {
	t.Helper()
	if got := w.Body.String(); got != want {
		t.Errorf("body: got  %s\nwant %s", got, want)
	}
}
