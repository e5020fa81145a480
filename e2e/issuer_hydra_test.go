package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// startHydra starts Ory Hydra with its default of no grace period. A refresh token that is
// redeemed again ends all tokens of its login.
func startHydra(t *testing.T) *foreignIssuer {
	t.Helper()
	f := startHydraServer(t, 0)
	f.name, f.reuseRevokes = "hydra", true
	return f
}

// startHydraGrace starts Ory Hydra with a grace period. During it a refresh token that
// was redeemed before gives further tokens, and those of the first answer stay valid.
func startHydraGrace(t *testing.T) *foreignIssuer {
	t.Helper()
	f := startHydraServer(t, time.Minute)
	f.name, f.lostAnswer = "hydra with grace", true
	return f
}

// startHydraServer starts the hydra that issuers/install.sh has built, with a database in
// memory. Each refresh ends the access token before it.
//
// Hydra has no pages of its own: it sends browsers to the address of another server, which
// accepts or refuses a request through Hydra's administrative listener.
func startHydraServer(t *testing.T, grace time.Duration) *foreignIssuer {
	t.Helper()
	hydra := requireIssuer(t, "hydra")
	const (
		clientID, secret = "ticketproxy", "e2e only: +/%&="
		scope            = "tickets offline_access" // no refresh token without offline_access
		lifetime         = 10 * time.Second
	)
	at, adminAt, front := freeAddress(t), freeAddress(t), freeAddress(t)
	origin, admin := "http://"+front, "http://"+adminAt
	f := &foreignIssuer{
		settings: []string{
			"PROVIDER=generic", "ISSUER_URL=" + origin, "CLIENT_ID=" + clientID, "CLIENT_SECRET=" + secret, "SCOPE=" + scope,
		},
		tokenURL:       origin + "/oauth2/token",
		redirectURI:    "http://" + freeAddress(t) + "/callback",
		accessLifetime: lifetime,
		rotates:        true,
		authRefused:    true,
	}
	person := httptest.NewServer(hydraPerson(t, admin))
	t.Cleanup(person.Close)

	config := map[string]any{
		"dsn":     "memory",
		"secrets": map[string]any{"system": []string{"e2e-only-system-secret"}},
		"serve":   map[string]any{"public": hydraListener(t, at), "admin": hydraListener(t, adminAt)},
		"urls": map[string]any{
			"self":  map[string]any{"issuer": origin},
			"login": person.URL + "/login", "consent": person.URL + "/consent",
		},
		"ttl": map[string]any{"access_token": lifetime.String()},
		"oauth2": map[string]any{"grant": map[string]any{
			"refresh_token": map[string]any{"rotation_grace_period": grace.String()},
		}},
		"sqa": map[string]any{"opt_out": true}, // no reports to its authors
	}
	path := filepath.Join(t.TempDir(), "hydra.json")
	text, err := json.Marshal(config)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Without --dev it demands https for its issuer address and its cookies.
	startProgram(t, at, exec.Command(hydra, "serve", "all", "--dev", "--config", path))
	await(t, time.Minute, adminAt+" accepts connections", func() bool { return accepts(adminAt) })
	f.front = startIssuerFront(t, front, at, "/oauth2/token")
	// It makes its keys when it is first asked. On a busy machine that takes longer than a login waits.
	await(t, 2*time.Minute, "hydra answers with its metadata", func() bool {
		res, err := http.Get("http://" + at + "/.well-known/openid-configuration")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})

	hydraAdmin(t, http.MethodPost, admin+"/admin/clients", map[string]any{
		"client_id": clientID, "client_secret": secret, "token_endpoint_auth_method": "client_secret_basic",
		"redirect_uris": []string{f.redirectURI}, "scope": scope,
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
	})
	f.allow = func(t *testing.T, address string) string {
		t.Helper()
		return newIssuerBrowser(t, f.redirectURI).mustReturn(http.MethodGet, address, nil)
	}
	f.introspect = func(t *testing.T, token string) time.Time {
		t.Helper()
		res, err := http.PostForm(admin+"/admin/oauth2/introspect", url.Values{"token": {token}})
		if err != nil {
			t.Error(err)
			return time.Time{}
		}
		return introspection(t, res)
	}
	f.refresh = func(t *testing.T, token string) (int, string) {
		t.Helper()
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
		return tokenError(t, postAsClient(t, f.tokenURL, url.QueryEscape(clientID), url.QueryEscape(secret), form))
	}
	return f
}

// hydraListener returns the settings of a listener at an address, host:port.
func hydraListener(t *testing.T, address string) map[string]any {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"host": host, "port": n}
}

// hydraPerson serves Hydra's login and consent addresses. A person logs in and allows
// whatever is asked for.
func hydraPerson(t *testing.T, admin string) http.Handler {
	accept := func(w http.ResponseWriter, r *http.Request, kind string, answer map[string]any) {
		challenge := "?challenge=" + url.QueryEscape(r.URL.Query().Get(kind+"_challenge"))
		asked := hydraAdmin(t, http.MethodGet, admin+"/admin/oauth2/auth/requests/"+kind+challenge, nil)
		if kind == "consent" {
			answer["grant_scope"] = asked["requested_scope"]
		}
		accepted := hydraAdmin(t, http.MethodPut, admin+"/admin/oauth2/auth/requests/"+kind+"/accept"+challenge, answer)
		to, _ := accepted["redirect_to"].(string)
		http.Redirect(w, r, to, http.StatusFound)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		accept(w, r, "login", map[string]any{"subject": "ada"})
	})
	mux.HandleFunc("GET /consent", func(w http.ResponseWriter, r *http.Request) {
		accept(w, r, "consent", map[string]any{})
	})
	return mux
}

// hydraAdmin makes a request to Hydra's administrative listener. Where that fails, the test
// does, and the answer is nil.
func hydraAdmin(t *testing.T, method, address string, body map[string]any) (answer map[string]any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Error(err)
		return nil
	}
	req, err := http.NewRequest(method, address, bytes.NewReader(text))
	if err != nil {
		t.Error(err)
		return nil
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer res.Body.Close()
	text, err = io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil || res.StatusCode/100 != 2 {
		t.Errorf("%s %s: %s, %v\n%.2000s", method, address, res.Status, err, text)
		return nil
	}
	return answer
}
