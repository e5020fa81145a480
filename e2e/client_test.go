package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A client is a running program of clients/. It reads instructions, one a line:
//
//	METHOD URL COUNT FILE LENGTH
//
// The fields are separated by tabs. The client makes COUNT requests, one after the
// other. FILE is the JSON body, or - for none. LENGTH is the length of an X-Big
// header, or 0 for none. The client follows redirects. For each answer it writes
//
//	STATUS BYTES SHA256 URL
//
// with the body's length and digest and the final URL. The method STREAM is a GET.
// For it the client also writes "first" and the body's first line on arrival.
type client struct {
	t      *testing.T
	input  io.Writer
	lines  *bufio.Scanner
	stderr tail
}

// A result is a client's report of an answer.
type result struct {
	status int
	body   digest
	url    string
}

func startClient(t *testing.T, command ...string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	c := &client{t: t}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = "clients"
	cmd.Stderr = &c.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	lines, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close() // ends the client
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Errorf("the client exited with %v", err)
		}
		cancel()
		if t.Failed() {
			t.Logf("stderr of the client:\n%s", c.stderr.String())
		}
	})
	c.input, c.lines = input, bufio.NewScanner(lines)
	return c
}

// An instruction tells a client which requests to make.
type instruction struct {
	method, url string
	count       int    // 0 means 1
	file        string // holds the body
	header      int    // length of X-Big
}

func (c *client) send(o instruction) {
	c.t.Helper()
	file := o.file
	if file == "" {
		file = "-"
	}
	_, err := fmt.Fprintf(c.input, "%s\t%s\t%d\t%s\t%d\n", o.method, o.url, max(o.count, 1), file, o.header)
	if err != nil {
		c.t.Fatalf("instructing the client to %s %s: %v", o.method, o.url, err)
	}
}

func (c *client) line() string {
	c.t.Helper()
	if !c.lines.Scan() {
		c.t.Fatalf("no more output from the client: %v", c.lines.Err())
	}
	return c.lines.Text()
}

func (c *client) result() result {
	c.t.Helper()
	var r result
	line := c.line()
	if _, err := fmt.Sscanf(line, "%d %d %s %s", &r.status, &r.body.bytes, &r.body.sha256, &r.url); err != nil {
		c.t.Fatalf("reading the client's %q: %v", line, err)
	}
	return r
}

// do sends an instruction and returns its results.
func (c *client) do(o instruction) []result {
	c.t.Helper()
	c.send(o)
	var all []result
	for range max(o.count, 1) {
		all = append(all, c.result())
	}
	return all
}

// A clientFixture is the program with three providers, each behind a frontProxy.
type clientFixture struct {
	t      *testing.T
	client *client
	proxy  *proxy
	fronts map[string]*frontProxy // by account
	calls  map[string]apiCalls
	dir    string
}

// apiCalls are the requests that a client makes to a provider's API.
type apiCalls struct {
	get, post      string // paths
	body, hugeBody string // POST bodies; hugeBody has %s for the long text
	postStatus     int    // expected status of a POST
	head           string // path of a HEAD
	headStatus     int    // expected status of a HEAD
}

func newAPICalls() map[string]apiCalls {
	return map[string]apiCalls{
		"socialboards": {
			get: "/Teammates?group=all%20of%20them&x=%C3%BC", head: "/categories", headStatus: http.StatusMethodNotAllowed,
			post: "/tickets", postStatus: http.StatusOK,
			body: `{"title":"Lost","message":"My ticket, \u00fc"}`, hugeBody: `{"title":"Lost","message":"%s"}`,
		},
		"openticket": {
			get: "/orders?page=1&per_page=2&include=payments,shop", head: "/users/me", headStatus: http.StatusMethodNotAllowed,
			post: "/location", postStatus: http.StatusOK,
			body: `{"name":"Hall","capacity":3}`, hugeBody: `{"name":"Hall","address":"%s"}`, // the answer repeats it
		},
		"ticketpark": {
			get: "/events/?page=0&maxResults=2&properties%5Bshows%5D=1", head: "/events/", headStatus: http.StatusOK,
			post: "/bookings/", postStatus: http.StatusCreated,
			body: `{"delivery_method":"digital"}`, hugeBody: `{"delivery_method":"%s"}`,
		},
	}
}

const (
	hugeSize     = 5 << 20
	bigHeader    = 60_000
	requestCount = 20
)

func newClientFixture(t *testing.T, c *client, tokenLifetime time.Duration) *clientFixture {
	m := &clientFixture{t: t, client: c, fronts: map[string]*frontProxy{}, calls: newAPICalls(), dir: t.TempDir()}
	providers := startSandbox(t, tokenLifetime)
	for account, p := range providers {
		m.fronts[account] = startFrontProxy(t, p.origin, m.calls[account].get)
		p.setUpstream(m.fronts[account].URL)
	}
	m.proxy = newProxy(t, t.TempDir(), providers)
	m.proxy.start()
	m.proxy.awaitAllUsable(30 * time.Second)
	return m
}

// file writes text to a file and returns its path.
func (m *clientFixture) file(text string) string {
	m.t.Helper()
	path := filepath.Join(m.dir, "body")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return path
}

// url returns the proxy's URL for a path of an account's API.
func (m *clientFixture) url(account, path string) string {
	return "http://" + m.proxy.listen[account] + path
}

// do has the client make requests. It checks that the client got the API's answers,
// byte for byte, and that the API got the client's requests.
func (m *clientFixture) do(account string, o instruction, want int) []served {
	m.t.Helper()
	before := m.fronts[account].count()
	results := m.client.do(o)
	return m.compare(account, o, want, before, results)
}

func (m *clientFixture) compare(account string, o instruction, want, before int, results []result) []served {
	m.t.Helper()
	got := m.fronts[account].since(before)
	for end := time.Now().Add(10 * time.Second); len(got) < len(results); got = m.fronts[account].since(before) {
		if time.Now().After(end) { // the frontProxy records a request when it has ended
			m.t.Fatalf("%s: %s %s: the client got %+v, and the API served %+v", account, o.method, o.url, results, got)
		}
		time.Sleep(time.Millisecond)
	}
	for i, r := range results {
		s := got[i]
		if r.status != want || r.status != s.status || r.body != s.answer {
			m.t.Errorf("%s: %s %s: the client got %d %+v, want %d; the API answered %d %+v",
				account, o.method, o.url, r.status, r.body, want, s.status, s.answer)
		}
		if auth := s.header["Authorization"]; len(auth) != 1 || !strings.HasPrefix(auth[0], "Bearer ") {
			m.t.Errorf("%s: %s %s: the API got %d Authorization headers", account, o.method, o.url, len(auth))
		}
		for _, name := range []string{"Upgrade", "Http2-Settings", "Proxy-Connection"} {
			if value, ok := s.header[name]; ok {
				m.t.Errorf("%s: %s %s: the API got %s %q", account, o.method, o.url, name, value)
			}
		}
		if len(s.header.Get("X-Big")) != o.header {
			m.t.Errorf("%s: %s %s: the API got %d bytes of a header of %d",
				account, o.method, o.url, len(s.header.Get("X-Big")), o.header)
		}
	}
	return got
}

// upload posts text, and checks that it arrives unchanged.
func (m *clientFixture) upload(account, text string) time.Duration {
	m.t.Helper()
	began, o := time.Now(), m.calls[account]
	got := m.do(account, instruction{method: "POST", url: m.url(account, o.post), file: m.file(text)}, o.postStatus)
	took := time.Since(began)
	sum := &digester{from: io.NopCloser(strings.NewReader(text)), hash: sha256.New()}
	io.Copy(io.Discard, sum)
	if got[0].method != "POST" || got[0].body != sum.sum() {
		m.t.Errorf("%s: the API got %s with %+v, want POST with %+v", account, got[0].method, got[0].body, sum.sum())
	}
	return took
}

// follow has the client follow a redirect, and checks that it leads to the proxy.
func (m *clientFixture) follow(account string) {
	m.t.Helper()
	f, before := m.fronts[account], m.fronts[account].count()
	o := instruction{method: "GET", url: m.url(account, frontRedirect)}
	results := m.client.do(o)
	if want := m.url(account, f.redirectTo); results[0].url != want {
		m.t.Fatalf("%s: the redirect led to %s, want %s", account, results[0].url, want)
	}
	m.compare(account, o, http.StatusOK, before+1, results)
}

// stream checks that the client gets the first part of an answer before the API
// sends the next.
func (m *clientFixture) stream(account string) {
	m.t.Helper()
	o, before := instruction{method: "STREAM", url: m.url(account, frontStream)}, m.fronts[account].count()
	release := func() { m.fronts[account].release <- struct{}{} }
	late := time.AfterFunc(10*time.Second, release)
	m.client.send(o)
	if line := m.client.line(); line != "first one" {
		m.t.Errorf("%s: the client got %q, want the first line", account, line)
	}
	if late.Stop() {
		release()
	} else {
		m.t.Errorf("%s: the first part did not arrive before the last", account)
	}
	m.compare(account, o, http.StatusOK, before, []result{m.client.result()})
}

// getThroughTap has the client make requests, one after the other, through a tap
// before the program. It returns the tap.
func (m *clientFixture) getThroughTap(account string, count int) *tap {
	m.t.Helper()
	p := startTap(m.t, "127.0.0.1:0", m.proxy.listen[account])
	m.do(account, instruction{method: "GET", url: "http://" + p.address + m.calls[account].get, count: count}, http.StatusOK)
	return p
}

// getUntilRefreshed has the client make requests until each account's token was
// refreshed the given number of times.
func (m *clientFixture) getUntilRefreshed(times int) (requests int) {
	m.t.Helper()
	begun, end := map[string]int{}, time.Now().Add(time.Minute)
	for account := range m.fronts {
		begun[account] = m.proxy.providers[account].counters().Redemptions
	}
	for again := true; again; {
		again = false
		for account := range m.fronts {
			m.do(account, instruction{method: "GET", url: m.url(account, m.calls[account].get), count: 5}, http.StatusOK)
			m.upload(account, m.calls[account].body)
			requests += 6
			again = again || m.proxy.providers[account].counters().Redemptions < begun[account]+times
		}
		if again && time.Now().After(end) {
			m.t.Fatal("tokens were not refreshed within a minute")
		}
	}
	return requests
}

// TestRealClients has unmodified clients, apart from the base URL, use all three
// APIs through the program. One run has tokens that live for seconds.
func TestRealClients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		needs       []string
		command     []string
		connections int    // at most, for requestCount requests one after the other
		upgrade     string // Upgrade header that the client sends
	}{
		{"curl", []string{"bash", "curl"}, []string{"bash", "curl.sh"}, 1, ""},
		{"Node fetch", []string{"node"}, []string{"node", "fetch.mjs"}, 2, ""},
		{"Python urllib", []string{"python3"}, []string{"python3", "urllib.py"}, requestCount, ""},
		{"PHP cURL", []string{"php -r curl_init();"}, []string{"php", "curl.php"}, 1, ""},
		{"Java HttpClient", []string{"java", "javac"}, []string{"java", "Client.java"}, 1, "h2c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			requirePrograms(t, c.needs...)
			app := startClient(t, c.command...)
			m := newClientFixture(t, app, time.Hour)
			longText := strings.Repeat("long ", hugeSize/5)
			for account, o := range m.calls {
				m.do(account, instruction{method: "GET", url: m.url(account, o.get)}, http.StatusOK)
				m.do(account, instruction{method: "HEAD", url: m.url(account, o.head)}, o.headStatus)
				m.do(account, instruction{method: "GET", url: m.url(account, o.get), header: bigHeader}, http.StatusOK)
				m.upload(account, o.body)
				took := m.upload(account, fmt.Sprintf(o.hugeBody, longText))
				m.follow(account)
				m.stream(account)
				kept := m.getThroughTap(account, requestCount)
				connections := kept.accepted()
				if connections > c.connections {
					t.Errorf("%s: %d requests took %d connections, want at most %d", account, requestCount, connections, c.connections)
				}
				if upgrade := kept.requests()[0].header.Get("Upgrade"); upgrade != c.upgrade {
					t.Errorf("%s: the client sends Upgrade %q, the test expects %q", account, upgrade, c.upgrade)
				}
				t.Logf("%s: uploaded %d MiB in %v; %d requests took %d connections",
					account, hugeSize>>20, took.Round(time.Millisecond), requestCount, connections)
				if c := m.proxy.providers[account].counters(); c.APIUnauthorized != 0 {
					t.Errorf("%s: the API refused %d requests", account, c.APIUnauthorized)
				}
			}

			m = newClientFixture(t, app, 2*time.Second)
			requests := m.getUntilRefreshed(3)
			retried := 0
			for account, p := range m.proxy.providers {
				c := p.counters()
				retried += c.APIUnauthorized
				if c.MaxRedemptions != 1 || c.Reuses != 0 {
					t.Errorf("%s: %+v, want no refresh token spent twice", account, c)
				}
			}
			t.Logf("%d requests over three generations; the API refused %d, and the program retried them", requests, retried)
		})
	}
}
