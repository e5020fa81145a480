package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// startZitadel starts the example server of zitadel/oidc. A refresh token that is redeemed
// again is refused, and the newest one stays valid. Each refresh ends the access token
// before it.
func startZitadel(t *testing.T) *foreignIssuer {
	t.Helper()
	zitadel := requireIssuer(t, "zitadel")
	const (
		user, password   = "ada", "e2e-only-password"
		clientID, secret = "ticketproxy", "e2e only: +/%&="
		lifetime         = 10 * time.Second
	)
	at, front := freeAddress(t), freeAddress(t)
	origin := "http://" + front
	f := &foreignIssuer{
		name: "zitadel/oidc",
		settings: []string{
			"PROVIDER=generic", "ISSUER_URL=" + origin, "CLIENT_ID=" + clientID, "CLIENT_SECRET=" + secret,
			"SCOPE=openid offline_access", // it demands openid, and gives no refresh token without offline_access
		},
		tokenURL:       origin + "/oauth/token",
		redirectURI:    "http://" + freeAddress(t) + "/callback",
		accessLifetime: lifetime,
		rotates:        true,
		authRefused:    true,
	}
	users := filepath.Join(t.TempDir(), "users.json")
	text, err := json.Marshal(map[string]any{
		"1": map[string]any{"ID": "1", "Username": user, "Password": password, "PreferredLanguage": "en"},
	})
	if err == nil {
		err = os.WriteFile(users, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	startProgram(t, at, exec.Command(zitadel, "-listen", at, "-issuer", origin, "-client", clientID, "-secret", secret,
		"-redirect", f.redirectURI, "-users", users, "-lifetime", lifetime.String()))
	f.front = startIssuerFront(t, front, at, "/oauth/token")

	f.allow = func(t *testing.T, address string) string {
		t.Helper()
		browser := newIssuerBrowser(t, f.redirectURI)
		login := browser.mustPage(http.MethodGet, address, nil) // there is no page for consent
		login.fields.Set("username", user)
		login.fields.Set("password", password)
		return browser.mustReturn(http.MethodPost, login.action, login.fields)
	}
	asClient := func(t *testing.T, path string, form url.Values) *http.Response {
		t.Helper()
		return postAsClient(t, origin+path, url.QueryEscape(clientID), url.QueryEscape(secret), form)
	}
	f.introspect = func(t *testing.T, token string) time.Time {
		t.Helper()
		return introspection(t, asClient(t, "/oauth/introspect", url.Values{"token": {token}}))
	}
	f.refresh = func(t *testing.T, token string) (int, string) {
		t.Helper()
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
		return tokenError(t, asClient(t, "/oauth/token", form))
	}
	return f
}
