package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// issuersVariable gives the directory of the issuers that are not Debian's packages:
// those that issuers/install.sh has built.
const issuersVariable = "E2E_ISSUERS"

// A foreignIssuer is a running authorization server of another project.
type foreignIssuer struct {
	name string
	// settings are those of an account, NAME=value without prefix: ISSUER_URL or
	// TOKEN_URL and AUTHORIZE_URL, CLIENT_ID, CLIENT_SECRET, SCOPE and so on.
	settings []string
	tokenURL string
	// redirectURI is registered for the client, and nothing listens there.
	redirectURI string
	// allow plays the person. It opens the authorization request's address, logs in,
	// consents, and returns the address of redirectURI at which the browser ends up.
	allow func(t *testing.T, address string) string
	// introspect asks the issuer about an access token (RFC 7662). It returns the zero
	// time for a token that is not active.
	introspect func(t *testing.T, token string) (expiry time.Time)
	// refresh redeems a refresh token as the client, past the program. It returns the
	// answer's status and its error code.
	refresh func(t *testing.T, token string) (status int, code string)

	front *issuerFront
	// What the issuer is known to do.
	accessLifetime time.Duration
	rotates        bool // each refresh gives a new refresh token
	reuseRevokes   bool // a token that was redeemed before ends the newest one, too
	lostAnswer     bool // after a lost answer the same refresh token is redeemed again
	authRefused    bool // a wrong client secret is refused
	codeless       bool // a refresh token is refused without the error code invalid_grant
}

// An issuerFront is the address of an issuer. It relays requests to the issuer, and can
// lose answers of its token endpoint.
type issuerFront struct {
	*httptest.Server
	tokenPath string

	mu    sync.Mutex
	asked map[string]int // token requests by grant type
	spent map[string]int // answers of 200 by refresh token
	lose  int            // how many answers to refreshes are to be lost
	lost  int
	pause time.Duration // how long answers to refreshes are held back
}

// startIssuerFront starts the front of an issuer at loopback address to, host:port. The
// issuer must be told the front's URL as its own.
func startIssuerFront(t *testing.T, address, to, tokenPath string) *issuerFront {
	t.Helper()
	f := &issuerFront{tokenPath: tokenPath, asked: map[string]int{}, spent: map[string]int{}}
	relay := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: to})
		r.Out.Host = r.In.Host
	}}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != f.tokenPath || r.Method != http.MethodPost {
			relay.ServeHTTP(w, r)
			return
		}
		f.token(w, r, relay)
	}))
	f.Listener.Close()
	f.Listener = mustListen(t, address)
	f.Start()
	t.Cleanup(f.Close)
	return f
}

// token relays a token request.
func (f *issuerFront) token(w http.ResponseWriter, r *http.Request, relay http.Handler) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, _ := url.ParseQuery(string(body))
	answer := httptest.NewRecorder()
	relay.ServeHTTP(answer, r)

	grant, refreshToken := form.Get("grant_type"), form.Get("refresh_token")
	f.mu.Lock()
	f.asked[grant]++
	if refreshToken != "" && answer.Code == http.StatusOK {
		f.spent[refreshToken]++
	}
	lose := grant == "refresh_token" && f.lose > 0
	if lose {
		f.lose--
		f.lost++
	}
	pause := f.pause
	f.mu.Unlock()
	if grant == "refresh_token" {
		time.Sleep(pause)
	}
	if lose {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}

// loseAnswers has the next n answers to refreshes be lost after the issuer gave them.
func (f *issuerFront) loseAnswers(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lose = n
}

// holdBack has answers to refreshes come late. The issuer has acted by then.
func (f *issuerFront) holdBack(pause time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pause = pause
}

// refreshes returns how many refreshes the issuer was asked for, and how often the one
// refresh token that was redeemed most often was.
func (f *issuerFront) refreshes() (asked, mostOfOne int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.spent {
		mostOfOne = max(mostOfOne, n)
	}
	return f.asked["refresh_token"], mostOfOne
}

// losses returns how many answers were lost.
func (f *issuerFront) losses() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost
}

// startProgram starts a server until the test ends, and waits until it accepts
// connections at address. Its output is logged when the test fails.
func startProgram(t *testing.T, address string, cmd *exec.Cmd) {
	t.Helper()
	output := &tail{}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("end of the output of %s:\n%s", filepath.Base(cmd.Path), output.String())
		}
	})
	await(t, time.Minute, address+" accepts connections", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s has ended:\n%s", cmd.Path, output.String())
		default:
		}
		return accepts(address)
	})
}

// requireIssuer returns the path of something that issuers/install.sh makes. Where it is
// missing the test is skipped, or fails with -complete.
func requireIssuer(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(os.Getenv(issuersVariable), name)
	if os.Getenv(issuersVariable) == "" {
		path = filepath.Join("issuers", ".installed", name)
	}
	absolute, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(absolute)
	}
	if err == nil {
		return absolute
	}
	if *complete {
		t.Fatalf("%s is not installed, and -complete allows no skipped test: %v", name, err)
	}
	t.Skipf("SKIPPED: %s is not installed; issuers/install.sh installs it: %v", name, err)
	return ""
}

// introspection reads the answer of an introspection endpoint (RFC 7662, section 2.2).
func introspection(t *testing.T, res *http.Response) (expiry time.Time) {
	t.Helper()
	defer res.Body.Close()
	var answer struct {
		Active bool  `json:"active"`
		Exp    int64 `json:"exp"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Errorf("introspection: %v", err)
	}
	if !answer.Active {
		return time.Time{}
	}
	return time.Unix(answer.Exp, 0)
}

// setting returns the value of one of the account's settings.
func (f *foreignIssuer) setting(name string) string {
	for _, setting := range f.settings {
		if value, ok := strings.CutPrefix(setting, name+"="); ok {
			return value
		}
	}
	return ""
}

// mustListen opens a loopback address, host:port.
func mustListen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// accepts reports whether a server accepts connections at an address.
func accepts(address string) bool {
	c, err := net.Dial("tcp", address)
	if err == nil {
		c.Close()
	}
	return err == nil
}
