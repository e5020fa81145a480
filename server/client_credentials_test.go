package server

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// With client_credentials an app is served without a seed or a login, a 401 is healed,
// and a process that starts with the state of another one asks for no token.
func TestClientCredentials(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var grants []string
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		grants = append(grants, fmt.Sprint(r.FormValue("grant_type"), r.Form["refresh_token"], r.FormValue("scope")))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token%d","token_type":"Bearer","expires_in":3600}`, len(grants))
	}))
	defer issuer.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token2" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer api.Close()
	vars := []string{
		"TICKETPROXY_PROVIDER=generic", "TICKETPROXY_CLIENT_ID=x", "TICKETPROXY_CLIENT_SECRET=y",
		"TICKETPROXY_GRANT=client_credentials", "TICKETPROXY_SCOPE=orders", "TICKETPROXY_UPSTREAM_URL=" + api.URL,
		"TICKETPROXY_TOKEN_URL=" + issuer.URL + "/token", "TICKETPROXY_STATE=file:" + t.TempDir() + "/state",
	}
	for range 2 {
		c, err := config.Parse(config.Environment{Vars: vars})
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(c, Options{Log: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		app := httptest.NewServer(s.apps[0])
		res, err := app.Client().Get(app.URL)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		app.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("status %d", res.StatusCode)
		}
		for _, a := range s.accounts {
			if err := a.Drain(context.Background()); err != nil {
				t.Error(err)
			}
		}
		for _, tr := range s.apps[0].transports {
			tr.CloseIdleConnections()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := fmt.Sprint(grants); got != "[client_credentials[]orders client_credentials[]orders]" {
		t.Errorf("token requests: %s", got)
	}
}

// TestChangedGrant tests that neither a start nor check takes the record of another grant:
// a login's refresh token is not replaced, and the client's own token is no person's.
func TestChangedGrant(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ grant, stored, want string }{
		{"client_credentials", "a-login's", "the state has a refresh token, which GRANT=client_credentials would replace"},
		{"", "client_credentials", "the state has a grant of client_credentials, and GRANT is another one now"},
		{"client_credentials", "client_credentials", ""},
		{"", "a-login's", ""},
	} {
		dir := t.TempDir()
		vars := []string{
			"TICKETPROXY_PROVIDER=generic", "TICKETPROXY_CLIENT_ID=x", "TICKETPROXY_CLIENT_SECRET=y",
			"TICKETPROXY_UPSTREAM_URL=http://127.0.0.1:1", "TICKETPROXY_TOKEN_URL=http://127.0.0.1:1/token",
			"TICKETPROXY_STATE=file:" + dir,
		}
		if test.grant != "" {
			vars = append(vars, "TICKETPROXY_GRANT="+test.grant)
		}
		c, err := config.Parse(config.Environment{Vars: vars})
		if err != nil {
			t.Fatal(err)
		}
		account, err := OpenAccount(c, c.Upstreams[0], Network{})
		if err != nil {
			t.Fatal(err)
		}
		record := tokens.Record{Generation: 1, Grant: tokens.Grant{RefreshToken: secret.New(test.stored)}}
		if _, err := account.Store.Swap(t.Context(), "", record); err != nil {
			t.Fatal(err)
		}
		if err := account.Close(); err != nil {
			t.Fatal(err)
		}
		s, err := New(c, Options{Log: zap.NewNop()})
		if err == nil {
			s.Close()
		}
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || hint.Of(err) == "") {
			t.Errorf("grant %q, stored %q: %v, want %q", test.grant, test.stored, err, test.want)
		}
		found := ""
		Check(t.Context(), c, Network{}, func(f Finding) {
			if f.Subject == "account generic" && f.Err != nil {
				found = f.Err.Error()
			}
		})
		if found != test.want {
			t.Errorf("check of grant %q, stored %q: %q, want %q", test.grant, test.stored, found, test.want)
		}
	}
}
