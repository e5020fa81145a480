package e2e

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// startOIDCProvider starts panva's oidc-provider.
//
// It gives refresh tokens only for the scope offline_access with prompt=consent, as OpenID
// Connect Core 1.0, section 11, has it. The account's AUTHORIZE_URL has that parameter.
func startOIDCProvider(t *testing.T) *foreignIssuer {
	t.Helper()
	requirePrograms(t, "node --version")
	modules := requireIssuer(t, "oidc-provider")
	const (
		user, password   = "ada", "e2e-only-password"
		clientID, secret = "ticketproxy", "e2e only: +/%&="
		lifetime         = 10 * time.Second
	)
	at, front := freeAddress(t), freeAddress(t)
	origin := "http://" + front
	f := &foreignIssuer{
		name: "oidc-provider",
		settings: []string{
			"PROVIDER=generic", "ISSUER_URL=" + origin, "AUTHORIZE_URL=" + origin + "/auth?prompt=consent",
			"CLIENT_ID=" + clientID, "CLIENT_SECRET=" + secret, "SCOPE=openid offline_access",
		},
		tokenURL:       origin + "/token",
		redirectURI:    "http://" + freeAddress(t) + "/callback",
		accessLifetime: lifetime,
		rotates:        true,
		reuseRevokes:   true,
		authRefused:    true,
	}
	server, err := filepath.Abs(filepath.Join("issuers", "oidc-provider", "server.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", server, at)
	cmd.Dir = modules
	cmd.Env = append(os.Environ(),
		"ISSUER_URL="+origin, "ISSUER_ACCESS_LIFETIME="+strconv.Itoa(int(lifetime.Seconds())),
		"ISSUER_CLIENT_ID="+clientID, "ISSUER_CLIENT_SECRET="+secret, "ISSUER_REDIRECT_URI="+f.redirectURI,
	)
	startProgram(t, at, cmd)
	f.front = startIssuerFront(t, front, at, "/token")

	f.allow = func(t *testing.T, address string) string {
		t.Helper()
		browser := newIssuerBrowser(t, f.redirectURI)
		login := browser.mustPage(http.MethodGet, address, nil)
		login.fields.Set("login", user)
		login.fields.Set("password", password)
		consent := browser.mustPage(http.MethodPost, login.action, login.fields)
		return browser.mustReturn(http.MethodPost, consent.action, consent.fields)
	}
	asClient := func(t *testing.T, path string, form url.Values) *http.Response {
		t.Helper()
		return postAsClient(t, origin+path, url.QueryEscape(clientID), url.QueryEscape(secret), form)
	}
	f.introspect = func(t *testing.T, token string) time.Time {
		t.Helper()
		return introspection(t, asClient(t, "/token/introspection", url.Values{"token": {token}}))
	}
	f.refresh = func(t *testing.T, token string) (int, string) {
		t.Helper()
		return tokenError(t, asClient(t, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}))
	}
	return f
}
