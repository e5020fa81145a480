package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// An oauthClient asks for a token at a URL. It returns the seconds until the token expires and
// the token, or else the error as the client's library tells it.
type oauthClient func(url string) (expiresIn int, token, problem string)

// TestOAuthClients tests that OAuth libraries, as they are, get tokens at TOKEN_LISTEN, and
// that the API accepts those; and that they understand an answer without a token.
func TestOAuthClients(t *testing.T) {
	t.Parallel()
	const debianPython = "/usr/bin/python3" // which has Debian's packages
	for name, tt := range map[string]struct {
		start         func(t *testing.T) oauthClient
		unknown, down string // what the library tells of 404 and of 503
	}{
		"Go x/oauth2": {goOAuthClient, "invalid_request", "login_required"},
		"curl": {func(t *testing.T) oauthClient {
			requirePrograms(t, "curl")
			return startOAuthClient(t, "oauth/curl.sh")
		}, "invalid_request", "login_required"},
		"Python requests-oauthlib": {func(t *testing.T) oauthClient {
			requirePython(t, debianPython, "requests_oauthlib")
			return startOAuthClient(t, debianPython, "oauth/requests_client.py")
		}, "invalid_request", "login_required"},
		"Python Authlib": {func(t *testing.T) oauthClient {
			requirePython(t, debianPython, "authlib")
			return startOAuthClient(t, debianPython, "oauth/authlib_client.py")
		}, "invalid_request", "503"},
		"Node openid-client": {nodeOAuthClient("openid_client.mjs", "openid-client@6.9.0"), "invalid_request", "503"},
		"Node simple-oauth2": {nodeOAuthClient("simple_oauth2.mjs", "simple-oauth2@5.1.0"), "invalid_request", "login_required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ask := tt.start(t)
			f := newTokenFixture(t)
			park := f.providers["ticketpark"]
			seconds, token, problem := ask(f.endpoint("ticketpark"))
			if problem != "" || seconds < 3000 || seconds > 3600 {
				t.Fatalf("a token for %d s, error %q", seconds, problem)
			}
			if status := callAPI(t, park.origin, token); status != http.StatusOK {
				t.Errorf("the API answers %d to the token", status)
			}
			if _, again, problem := ask(f.endpoint("ticketpark") + "?min=60s"); again != token || problem != "" {
				t.Errorf("another token, while the first serves; error %q", problem)
			}
			if _, token, problem := ask(f.endpoint("nothing")); token != "" || problem != tt.unknown {
				t.Errorf("an account that does not exist: the library tells of %q, want %q", problem, tt.unknown)
			}
			if _, token, problem := ask(f.endpoint("socialboards")); token != "" || problem != tt.down {
				t.Errorf("an account that is dead: the library tells of %q, want %q", problem, tt.down)
			}
			if c := park.counters(); c.Redemptions != 1 {
				t.Errorf("%+v", c)
			}
		})
	}
}

// TestTokenEndpointForCurl tests the GET for curl, a token that the API refuses, and that the
// verb prints the same token.
func TestTokenEndpointForCurl(t *testing.T) {
	t.Parallel()
	requirePrograms(t, "curl")
	f := newTokenFixture(t)
	park := f.providers["ticketpark"]
	curl := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "curl", append([]string{"-sS"}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	member := func(text, name string) string {
		_, rest, _ := strings.Cut(text, `"`+name+`":"`)
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	first := member(curl("-H", "Ticketproxy-Request: true", f.endpoint("ticketpark")+"?min=60s"), "access_token")
	if status := callAPI(t, park.origin, first); status != http.StatusOK {
		t.Errorf("the API answers %d", status)
	}
	verb := exec.CommandContext(t.Context(), binary, "token", "ticketpark")
	verb.Env = []string{"TICKETPROXY_TOKEN_LISTEN=" + f.tokens}
	if out, err := verb.Output(); err != nil || string(out) != first+"\n" {
		t.Errorf("the verb prints %d bytes, error %v", len(out), err)
	}
	for _, args := range [][]string{
		{f.endpoint("ticketpark")},
		{"-H", "Ticketproxy-Request: true", "-H", "Origin: http://localhost", f.endpoint("ticketpark")},
		{"-H", "Ticketproxy-Request: true", "-H", "X-Forwarded-For: 127.0.0.1", f.endpoint("ticketpark")},
		{"-H", "Ticketproxy-Request: true", "-H", "Host: rebound.example.com", f.endpoint("ticketpark")},
	} {
		if text := curl(args...); strings.Contains(text, first) || member(text, "code") == "" {
			t.Errorf("%q: %s", args, text)
		}
	}
	park.revoke()
	if status := callAPI(t, park.origin, first); status != http.StatusUnauthorized {
		t.Errorf("the API answers %d to a revoked token", status)
	}
	second := member(curl("-d", "grant_type=client_credentials", "-d", "refused="+first, f.endpoint("ticketpark")), "access_token")
	if status := callAPI(t, park.origin, second); second == first || status != http.StatusOK {
		t.Errorf("the API answers %d to the token after the one that it refused", status)
	}
	if c := park.counters(); c.Redemptions != 2 || c.Reuses != 0 {
		t.Errorf("%+v", c)
	}
}

// A tokenFixture is an instance that hands out the tokens of Ticketpark, and whose account at
// SocialBoards is dead.
type tokenFixture struct {
	*proxy
	tokens string
}

func newTokenFixture(t *testing.T) *tokenFixture {
	t.Helper()
	providers := startSandbox(t, time.Hour)
	delete(providers, "openticket")
	providers["socialboards"].seed = "of-nobody"
	f := &tokenFixture{tokens: freeAddress(t)}
	f.proxy = newProxy(t, t.TempDir(), providers, "TICKETPROXY_TOKEN_LISTEN="+f.tokens)
	f.start()
	f.awaitUsable("ticketpark", 30*time.Second)
	await(t, 30*time.Second, "the account of SocialBoards is dead", func() bool { return f.status("socialboards").State == "dead" })
	return f
}

func (f *tokenFixture) endpoint(account string) string {
	return "http://" + f.tokens + "/token/" + account
}

// callAPI sends a token to the API, and returns its status.
func callAPI(t *testing.T, origin, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin+"/events/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := control.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// goOAuthClient is golang.org/x/oauth2, which finds out by itself how the client proves
// itself.
func goOAuthClient(t *testing.T) oauthClient {
	return func(url string) (int, string, string) {
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, control)
		config := clientcredentials.Config{ClientID: "any", ClientSecret: "thing", TokenURL: url, Scopes: []string{"read", "write"}}
		token, err := config.Token(ctx)
		if failed := (*oauth2.RetrieveError)(nil); errors.As(err, &failed) {
			return 0, "", failed.ErrorCode
		}
		if err != nil {
			return 0, "", err.Error()
		}
		if token.RefreshToken != "" || token.Type() != "Bearer" {
			t.Errorf("type %q, a refresh token: %v", token.Type(), token.RefreshToken != "")
		}
		return int(time.Until(token.Expiry).Seconds()), token.AccessToken, ""
	}
}

// startOAuthClient runs a program of clients/ until the test ends. It reads URLs, one a line.
// For each it writes one of
//
//	token EXPIRES_IN TOKEN
//	error CODE
func startOAuthClient(t *testing.T, command ...string) oauthClient {
	t.Helper()
	c := startClient(t, command...)
	return func(url string) (seconds int, token, problem string) {
		t.Helper()
		if _, err := fmt.Fprintln(c.input, url); err != nil {
			t.Fatal(err)
		}
		line := c.line()
		if _, err := fmt.Sscanf(line, "token %d %s", &seconds, &token); err == nil {
			return seconds, token, ""
		}
		problem, ok := strings.CutPrefix(line, "error ")
		if !ok {
			t.Fatalf("the client says %q", line)
		}
		return 0, "", problem
	}
}

func requirePython(t *testing.T, python, module string) {
	t.Helper()
	if err := exec.CommandContext(t.Context(), python, "-c", "import "+module).Run(); err != nil {
		if *complete {
			t.Fatalf("%s is not installed for %s, and -complete allows no skipped test", module, python)
		}
		t.Skipf("SKIPPED: %s is not installed for %s", module, python)
	}
}

// nodeOAuthClient installs a package of npm beside a program of clients/oauth, and runs that. It
// skips the test where that is not possible, also with -complete.
func nodeOAuthClient(program, module string) func(t *testing.T) oauthClient {
	return func(t *testing.T) oauthClient {
		t.Helper()
		dir := t.TempDir()
		npm := exec.CommandContext(t.Context(), "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", dir, module)
		if out, err := npm.CombinedOutput(); err != nil {
			t.Skipf("SKIPPED: npm cannot install %s: %v %s", module, err, lastLine(string(out)))
		}
		source, err := os.ReadFile(filepath.Join("clients", "oauth", program))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, program), source, 0o600); err != nil {
			t.Fatal(err)
		}
		return startOAuthClient(t, "node", filepath.Join(dir, program))
	}
}

func lastLine(text string) (last string) {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		last = lines.Text()
	}
	return last
}
