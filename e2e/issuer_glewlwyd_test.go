package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// startGlewlwyd starts Debian's glewlwyd with refresh tokens for one use. A token that was
// redeemed before ends the newest one, but not the access tokens. It is refused with 400 and
// an empty body, as an unknown token is.
//
// A refresh by a client that glewlwyd does not accept spends the refresh token, too: glewlwyd
// rotates it, answers 400 with an empty body, and gives the new one to nobody.
func startGlewlwyd(t *testing.T) *foreignIssuer {
	t.Helper()
	f := startGlewlwydPlugin(t, "always")
	f.rotates, f.reuseRevokes = true, true
	return f
}

// startGlewlwydLasting starts glewlwyd with refresh tokens that last. That is its default.
func startGlewlwydLasting(t *testing.T) *foreignIssuer {
	t.Helper()
	f := startGlewlwydPlugin(t, "never")
	f.name, f.lostAnswer = "glewlwyd with lasting tokens", true
	return f
}

// startGlewlwydPlugin starts glewlwyd with its OpenID Connect plugin.
//
// The client's secret has characters that form-encoding changes. Glewlwyd does not undo the
// form-encoding that RFC 6749, section 2.3.1, wants in HTTP Basic.
func startGlewlwydPlugin(t *testing.T, oneUse string) *foreignIssuer {
	t.Helper()
	requirePrograms(t, "glewlwyd --version", "sqlite3 --version")
	const (
		user, password   = "ada", "e2e-only-password"
		clientID, secret = "ticketproxy", "e2e only+/%"
		lifetime         = 10 * time.Second
	)
	at, front := freeAddress(t), freeAddress(t)
	origin := "http://" + front
	issuer := origin + "/api/oidc"
	f := &foreignIssuer{
		name: "glewlwyd",
		settings: []string{
			"PROVIDER=generic", "CLIENT_ID=" + clientID, "CLIENT_SECRET=" + secret, "CLIENT_AUTH=basic_plain",
			"SCOPE=tickets", "ISSUER_URL=" + issuer,
		},
		tokenURL:       issuer + "/token",
		redirectURI:    "http://" + freeAddress(t) + "/callback",
		accessLifetime: lifetime,
		// It refuses a client with a wrong secret, but at a refresh the answer is that to a
		// bad refresh token.
		authRefused: false,
		codeless:    true,
	}
	startGlewlwydProgram(t, at, origin)
	f.front = startIssuerFront(t, front, at, "/api/oidc/token")

	admin := newIssuerBrowser(t, f.redirectURI)
	api := func(path string, value map[string]any) {
		t.Helper()
		mustGlewlwyd(admin, http.MethodPost, origin+"/api/"+path, value)
	}
	api("auth/", map[string]any{"username": "admin", "password": "password"}) // as Debian has it
	api("mod/plugin/", map[string]any{
		"module": "oidc", "name": "oidc", "display_name": "OpenID Connect",
		"parameters": map[string]any{
			"iss": issuer, "jwt-type": "sha", "jwt-key-size": "256", "key": "e2e-only-key",
			"access-token-duration": int(lifetime.Seconds()), "refresh-token-duration": 3600, "code-duration": 60,
			"refresh-token-one-use":  oneUse,
			"refresh-token-rolling":  true,
			"allow-non-oidc":         true, // requests without the scope openid, which needs a nonce
			"auth-type-code-enabled": true, "auth-type-refresh-enabled": true,
			"pkce-allowed": true, "pkce-required": true,
			"introspection-revocation-allowed": true, "introspection-revocation-allow-target-client": true,
		},
	})
	api("scope/", map[string]any{
		"name": "tickets", "display_name": "Tickets", "password_required": true,
	})
	api("client/", map[string]any{
		"client_id": clientID, "name": "ticketproxy", "password": secret, "confidential": true, "enabled": true,
		"redirect_uri": []string{f.redirectURI}, "authorization_type": []string{"code", "refresh_token"},
		"token_endpoint_auth_method": []string{"client_secret_basic"}, "scope": []string{},
	})
	api("user/", map[string]any{
		"username": user, "password": password, "name": "Ada", "enabled": true, "scope": []string{"tickets"},
	})

	// The login page is a script. These are its requests.
	f.allow = func(t *testing.T, address string) string {
		t.Helper()
		browser := newIssuerBrowser(t, f.redirectURI)
		res := browser.mustDo(http.MethodGet, address, nil)
		res.Body.Close()
		page := res.Request.URL
		if res.StatusCode != http.StatusOK || page.Path != "/login.html" {
			t.Fatalf("GET %s: %s at %s, want the login page", address, res.Status, page)
		}
		mustGlewlwyd(browser, http.MethodPost, origin+"/api/auth/", map[string]any{"username": user, "password": password})
		mustGlewlwyd(browser, http.MethodPut, origin+"/api/auth/grant/"+page.Query().Get("client_id"),
			map[string]any{"scope": page.Query().Get("scope")})
		return browser.mustReturn(http.MethodGet, page.Query().Get("callback_url")+"&g_continue", nil)
	}
	f.introspect = func(t *testing.T, token string) time.Time {
		t.Helper()
		return introspection(t, postAsClient(t, issuer+"/introspect", clientID, secret, url.Values{"token": {token}}))
	}
	f.refresh = func(t *testing.T, token string) (int, string) {
		t.Helper()
		return tokenError(t, postAsClient(t, f.tokenURL, clientID, secret,
			url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}))
	}
	return f
}

// startGlewlwydProgram starts glewlwyd with the database that Debian makes at installation.
func startGlewlwydProgram(t *testing.T, address, origin string) {
	t.Helper()
	const tables = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
	dir := t.TempDir()
	database, config := filepath.Join(dir, "database"), filepath.Join(dir, "config")
	script, err := os.Open(tables)
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	fill := exec.Command("sqlite3", database)
	fill.Stdin = script
	if out, err := fill.CombinedOutput(); err != nil {
		t.Fatalf("making the database of glewlwyd: %v\n%s", err, out)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	err = os.WriteFile(config, fmt.Appendf(nil, `port = %s
bind_address = %q
external_url = %q
login_url = "login.html"
api_prefix = "api"
log_mode = "console"
log_level = "WARNING"
cookie_secure = false
session_expiration = 3600
session_key = "GLEWLWYD2_SESSION_ID"
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "/usr/lib/glewlwyd/user"
client_module_path = "/usr/lib/glewlwyd/client"
user_auth_scheme_module_path = "/usr/lib/glewlwyd/scheme"
plugin_module_path = "/usr/lib/glewlwyd/plugin"
hash_algorithm = "SHA512"
static_files_path = "/usr/share/glewlwyd/webapp"
static_files_mime_types = ({ extension = ".html"; mime_type = "text/html" })
database = { type = "sqlite3"; path = %q }
`, port, host, origin, database), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	startProgram(t, address, exec.Command("glewlwyd", "--config-file="+config))
}

// mustGlewlwyd makes a request of glewlwyd's own API.
func mustGlewlwyd(b *issuerBrowser, method, address string, value map[string]any) {
	b.Helper()
	body, err := json.Marshal(value)
	if err != nil {
		b.Fatal(err)
	}
	req, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := b.client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		b.Fatalf("%s %s: %s\n%s", method, address, res.Status, text)
	}
}
