package e2e

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A loginRun is a running ticketproxy login that waits for a browser.
type loginRun struct {
	*testing.T
	cmd     *exec.Cmd
	output  tail
	address string      // the URL that the browser was told to open
	states  chan string // state parameters of the authorization requests
}

// startLogin starts a login at an issuer that grants every request. As with real
// issuers, the redirect URI is on another site.
func startLogin(t *testing.T) *loginRun {
	t.Helper()
	l := &loginRun{T: t, states: make(chan string, 8)}
	issuer := http.NewServeMux()
	issuer.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		state := r.FormValue("state")
		l.states <- state
		back := url.Values{"code": {"a-code"}, "state": {state}}
		http.Redirect(w, r, r.FormValue("redirect_uri")+"?"+back.Encode(), http.StatusFound)
	})
	issuer.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"an-access-token","refresh_token":"a-refresh-token",`+
			`"token_type":"bearer","expires_in":3600}`)
	})
	origin := serveAPI(t, issuer)
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	opened := filepath.Join(dir, "opened")
	script := "#!/bin/sh\nprintf %s \"$1\" > '" + opened + ".new'\nmv '" + opened + ".new' '" + opened + "'\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	l.cmd = exec.Command(binary, "login", "--redirect-uri", "http://localhost:"+port+"/callback", "--timeout", "1m")
	l.cmd.Env = []string{
		"PATH=" + dir + ":" + os.Getenv("PATH"),
		"TICKETPROXY_PROVIDER=generic", "TICKETPROXY_CLIENT_ID=x", "TICKETPROXY_CLIENT_AUTH=none",
		"TICKETPROXY_STATE=file:" + filepath.Join(dir, "state"),
		"TICKETPROXY_UPSTREAM_URL=" + origin,
		"TICKETPROXY_TOKEN_URL=" + origin + "/token",
		"TICKETPROXY_AUTHORIZE_URL=" + origin + "/authorize",
	}
	l.cmd.Stdout, l.cmd.Stderr = &l.output, &l.output
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l.cmd.ProcessState == nil {
			l.cmd.Process.Kill()
			l.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("output of the login:\n%s", l.output.String())
		}
	})
	await(t, 30*time.Second, "the login opens a browser", func() bool {
		address, err := os.ReadFile(opened)
		l.address = string(address)
		return err == nil
	})
	return l
}

// mustEnd waits until the login ends, and checks its exit code and output.
func (l *loginRun) mustEnd(code int, words string) {
	l.Helper()
	l.cmd.Wait()
	if got := l.cmd.ProcessState.ExitCode(); got != code || !strings.Contains(l.output.String(), words) {
		l.Errorf("exit code %d, want %d and %q", got, code, words)
	}
}

// visit requests the address without keeping cookies.
func (l *loginRun) visit() *http.Response {
	l.Helper()
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Get(l.address)
	if err != nil {
		l.Fatal(err)
	}
	res.Body.Close()
	return res
}

// TestLoginInChromium checks that the cookie of the one-time address reaches the
// redirect URI after a redirect from another site. Neither the browser's arguments
// nor the output may contain the state parameter.
func TestLoginInChromium(t *testing.T) {
	t.Parallel()
	requirePrograms(t, chromium)
	l := startLogin(t)
	open(t, l.address)
	l.mustEnd(0, "logged in, generation 1")
	state := <-l.states
	if state == "" || strings.Contains(l.address, state) || strings.Contains(l.output.String(), state) {
		t.Errorf("state %q, address %s", state, l.address)
	}
}

// TestLoginInSecondBrowser has another program open the address first. When the
// user's browser opens it too, the login fails and the first program's cookie is
// worthless.
func TestLoginInSecondBrowser(t *testing.T) {
	t.Parallel()
	requirePrograms(t, chromium)
	l := startLogin(t)
	first := l.visit()
	if first.StatusCode != http.StatusSeeOther {
		t.Fatalf("the first visit: %v, want 303", first)
	}
	open(t, l.address)
	l.mustEnd(1, "two browsers opened the address of this login")
	select {
	case <-l.states:
		t.Error("the second browser was sent to the issuer")
	default:
	}
	if u, err := url.Parse(l.address); err != nil {
		t.Error(err)
	} else if conn, err := net.Dial("tcp", "127.0.0.1:"+u.Port()); err == nil {
		conn.Close()
		t.Error("the redirect URI still accepts connections")
	}
}
