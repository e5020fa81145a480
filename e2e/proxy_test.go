package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A proxy is an instance of the program. It can be restarted.
type proxy struct {
	t          *testing.T
	providers  map[string]*provider // by account
	binary     string
	credential *syscall.Credential // nil means the current user
	admin      string
	listen     map[string]string // by account
	dir        string            // holds the state
	extraEnv   []string          // environment variables
	client     *http.Client      // makes the app's requests
	stderr     tail
	cmd        *exec.Cmd
	ended      chan struct{} // closed when the process has ended
}

func newProxy(t *testing.T, dir string, providers map[string]*provider, extraEnv ...string) *proxy {
	t.Helper()
	p := &proxy{
		t: t, providers: providers, binary: binary, dir: dir, extraEnv: extraEnv,
		admin: freeAddress(t), listen: map[string]string{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: time.Minute},
	}
	for account := range providers {
		p.listen[account] = freeAddress(t)
	}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.kill()
		}
		p.client.CloseIdleConnections()
		if t.Failed() {
			t.Logf("end of stderr of the instance at %s:\n%s", p.admin, p.stderr.String())
		}
	})
	return p
}

func (p *proxy) accounts() []string {
	var all []string
	for account := range p.providers {
		all = append(all, account)
	}
	slices.Sort(all)
	return all
}

func (p *proxy) environ() []string {
	environ := append([]string{
		"TICKETPROXY_UPSTREAMS=" + strings.Join(p.accounts(), ","),
		"TICKETPROXY_STATE=file:" + p.dir,
		"TICKETPROXY_ADMIN_LISTEN=" + p.admin,
		"TICKETPROXY_LOG_FORMAT=json",
	}, p.extraEnv...)
	for account, provider := range p.providers {
		environ = append(environ, provider.environ(p.listen[account])...)
	}
	return environ
}

// start starts the process without waiting for it to be ready.
func (p *proxy) start() { p.startWith(func(*exec.Cmd) {}) }

// startWith starts the process after configure has changed its command.
func (p *proxy) startWith(configure func(*exec.Cmd)) {
	p.t.Helper()
	p.cmd = exec.Command(p.binary, "serve")
	p.cmd.Env = p.environ()
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: p.credential}
	configure(p.cmd)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	p.ended = ended
	go func(cmd *exec.Cmd) {
		cmd.Wait()
		close(ended)
	}(p.cmd)
}

func (p *proxy) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// kill sends SIGKILL and waits for the process to end.
func (p *proxy) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
	p.client.CloseIdleConnections()
}

// terminate sends SIGTERM, waits for the process to end and returns the exit code.
func (p *proxy) terminate(atMost time.Duration) int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.awaitEnd(atMost)
	return p.cmd.ProcessState.ExitCode()
}

func (p *proxy) awaitEnd(atMost time.Duration) {
	p.t.Helper()
	await(p.t, atMost, "the process ends", func() bool { return !p.alive() })
	p.client.CloseIdleConnections()
}

func (p *proxy) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// An accountStatus is an account's entry in /status.
type accountStatus struct {
	Account    string `json:"account"`
	State      string `json:"state"`
	Usable     bool   `json:"usable"`
	Generation int    `json:"generation"`
	Error      string `json:"error"`
	Hint       string `json:"hint"`

	Expiry time.Time `json:"expiry"` // of the access token
}

// status returns an account's status, or a zero status while the admin listener is down.
func (p *proxy) status(account string) accountStatus {
	p.t.Helper()
	if !p.alive() {
		p.t.Fatalf("the process has ended with code %d", p.cmd.ProcessState.ExitCode())
	}
	res, err := control.Get("http://" + p.admin + "/status")
	if err != nil {
		return accountStatus{}
	}
	defer res.Body.Close()
	var status struct {
		Accounts []accountStatus `json:"accounts"`
	}
	if err := json.NewDecoder(res.Body).Decode(&status); err != nil {
		p.t.Fatal(err)
	}
	for _, a := range status.Accounts {
		if a.Account == account {
			return a
		}
	}
	p.t.Fatalf("/status does not know account %s", account)
	return accountStatus{}
}

func (p *proxy) awaitUsable(account string, atMost time.Duration) {
	p.t.Helper()
	await(p.t, atMost, account+" is usable", func() bool {
		s := p.status(account)
		if s.State == "dead" {
			p.t.Fatalf("%s is unexpectedly dead: %s", account, s.Error)
		}
		return s.Usable
	})
}

func (p *proxy) awaitAllUsable(atMost time.Duration) {
	p.t.Helper()
	for account := range p.providers {
		p.awaitUsable(account, atMost)
	}
}

// ready requests /readyz and returns whether it answered 200, and the body.
func (p *proxy) ready() (ok bool, why string) {
	p.t.Helper()
	res, err := control.Get("http://" + p.admin + "/readyz?verbose")
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode == http.StatusOK, string(body)
}

// An answer is the proxy's answer to an app.
type answer struct {
	status int
	code   string // of Ticketproxy-Error
	body   string
}

func (a answer) ok() bool { return a.status/100 == 2 }

// request makes an app's request to an account's API.
func (p *proxy) request(account string) (answer, error) {
	method, path, body := http.MethodGet, "/users/me", ""
	switch account {
	case "socialboards":
		method, path, body = http.MethodPost, "/tickets/list", `{"status":"open","take":2}`
	case "ticketpark":
		path = "/events/?page=0&maxResults=2"
	}
	req, err := http.NewRequest(method, "http://"+p.listen[account]+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header.Get("Ticketproxy-Error"), string(data)}, err
}

// mustServe makes a request and expects a 2xx answer.
func (p *proxy) mustServe(account string) {
	p.t.Helper()
	if a, err := p.request(account); err != nil || !a.ok() {
		p.t.Fatalf("request of %s: %v, %+v, want 2xx", account, err, a)
	}
}

// awaitServed makes requests until one gets a 2xx answer. After a crash the first may
// get 503 token_unavailable.
func (p *proxy) awaitServed(account string, atMost time.Duration) {
	p.t.Helper()
	await(p.t, atMost, account+" is served", func() bool {
		a, err := p.request(account)
		if err != nil || !a.ok() && a.code != "token_unavailable" {
			p.t.Fatalf("request of %s: %v, %+v, want 2xx or 503 token_unavailable", account, err, a)
		}
		return a.ok()
	})
}

// mustBeDead checks that the program reports account as dead everywhere, and returns
// the reason.
func (p *proxy) mustBeDead(account string) string {
	p.t.Helper()
	s := p.status(account)
	if s.State != "dead" {
		p.t.Fatalf("status of %s: %+v, want dead", account, s)
	}
	a, err := p.request(account)
	if err != nil || a.status != http.StatusServiceUnavailable || a.code != "login_required" {
		p.t.Fatalf("request of dead account %s: %v, %+v, want 503 login_required", account, err, a)
	}
	cmd := exec.Command(binary, "status")
	cmd.Env = []string{"TICKETPROXY_ADMIN_LISTEN=" + p.admin}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !bytes.Contains(out, []byte(s.Error)) {
		p.t.Fatalf("ticketproxy status: %v, want exit code 1 and %q:\n%s", err, s.Error, out)
	}
	return s.Error
}

// A tail keeps the last tailSize bytes written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if excess := len(t.text) - tailSize; excess > 0 {
		t.text = slices.Delete(t.text, 0, excess)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// ports hands out each port once. The ports are below the kernel's range for outgoing
// connections, so that a killed process can get its own port again.
var ports struct {
	mu   sync.Mutex
	next int
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	if ports.next == 0 {
		ports.next = 20000 + os.Getpid()%40*100
		if os.Getenv(namespaceVariable) != "" {
			ports.next += 6000 // not the parent's ports
		}
	}
	for ; ports.next < 32000; ports.next++ {
		address := fmt.Sprintf("127.0.0.1:%d", ports.next)
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			ports.next++
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
