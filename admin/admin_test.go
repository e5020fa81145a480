package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ticketproxy/admin"
	"ticketproxy/proxy/inbound"
	"ticketproxy/tokens"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func is[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// A fixture is an admin whose accounts and drain the test sets.
type fixture struct {
	admin.Config
	accounts []tokens.Status
	draining atomic.Bool
	quits    atomic.Int32
}

func newFixture(accounts ...tokens.Status) *fixture {
	d := &fixture{accounts: accounts}
	all := func() []tokens.Status { return d.accounts }
	d.Config = admin.Config{
		Version:   "1.2.3",
		Guard:     &inbound.Guard{Hosts: []string{"admin.test"}, Origins: []string{"https://app.test"}},
		Metrics:   admin.NewMetrics("1.2.3", false, all, func() uint64 { return 0 }).Handler(),
		Accounts:  all,
		Upstreams: []admin.Upstream{{Name: "park", Listen: "127.0.0.1:8080", URL: "https://api.test/", Account: "park"}},
		Draining:  d.draining.Load,
		Quit:      func() { d.quits.Add(1) },
	}
	return d
}

// ask sends a request like one of a loopback peer, after the changes.
func (d *fixture) ask(method, target string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host, r.RemoteAddr = "localhost:9090", "127.0.0.1:50000"
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	admin.NewHandler(d.Config).ServeHTTP(w, r)
	return w
}

func from(peer string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = peer }
}

func host(name string) func(*http.Request) {
	return func(r *http.Request) { r.Host = name }
}

// at sets the address that the connection came to, and the Host.
func at(local, name string) func(*http.Request) {
	return func(r *http.Request) {
		addr := &net.TCPAddr{IP: net.ParseIP(local), Port: 9090}
		*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr))
		r.Host = name
	}
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func status(account, state string, usable bool) tokens.Status {
	return tokens.Status{Account: account, State: state, Usable: usable, Began: usable, Rotation: "single_use", Generation: 3}
}

func TestLive(t *testing.T) {
	t.Parallel()
	d := newFixture(status("park", tokens.Dead, false)) // liveness does not depend on the accounts
	d.draining.Store(true)
	for _, path := range []string{"/livez", "/healthz"} {
		is(t, path, d.ask("GET", path).Code, 200)
		is(t, "HEAD "+path, d.ask("HEAD", path).Code, 200)
		is(t, "POST "+path, d.ask("POST", path).Code, 405)
	}
}

func TestStartedStaysStarted(t *testing.T) {
	t.Parallel()
	d := newFixture(status("park", tokens.Ready, true), status("shop", tokens.Starting, false))
	is(t, "one account has no token", d.ask("GET", "/startupz").Code, 503)
	d.accounts[1] = status("shop", tokens.Ready, true)
	is(t, "both have tokens", d.ask("GET", "/startupz").Code, 200)
	d.accounts[0] = status("park", tokens.Dead, false)
	d.accounts[0].Began = true
	is(t, "one account has lost its token", d.ask("GET", "/startupz").Code, 200)
}

func TestReady(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		account  tokens.Status
		draining bool
		refusing bool
		want     int
	}{
		"starting":                {account: status("park", tokens.Starting, false), want: 503},
		"ready":                   {account: status("park", tokens.Ready, true), want: 200},
		"degraded":                {account: status("park", tokens.Degraded, true), want: 200},
		"unsaved":                 {account: status("park", tokens.Unsaved, true), want: 503},
		"unavailable":             {account: status("park", tokens.Unavailable, false), want: 503},
		"dead":                    {account: status("park", tokens.Dead, false), want: 503},
		"dead, token still valid": {account: status("park", tokens.Dead, true), want: 200},
		"draining":                {account: status("park", tokens.Ready, true), draining: true, want: 503},
		"refusing":                {account: status("park", tokens.Ready, true), refusing: true, want: 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newFixture(test.account, status("shop", tokens.Ready, true))
			d.draining.Store(test.draining)
			d.Refusing = func() bool { return test.refusing }
			is(t, "status", d.ask("GET", "/readyz").Code, test.want)
			is(t, "verbose status", d.ask("GET", "/readyz?verbose").Code, test.want)
		})
	}
}

func TestReadyVerboseNamesAccounts(t *testing.T) {
	t.Parallel()
	dead := status("park", tokens.Dead, false)
	dead.Error, dead.Hint = "the refresh token is spent", "run ticketproxy login park"
	warned := status("shop", tokens.Ready, true)
	warned.Warnings = []string{"the clock is wrong"}
	d := newFixture(dead, warned)
	if got := d.ask("GET", "/readyz").Body.String(); strings.Contains(got, "park") {
		t.Errorf("names an account without ?verbose: %q", got)
	}
	got := d.ask("GET", "/readyz?verbose").Body.String()
	for _, want := range []string{"account park: dead: " + dead.Error + "; hint: " + dead.Hint, "account shop: ready", "account shop: warning: the clock is wrong\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want it to say %q", got, want)
		}
	}
	d.Warnings = func() []string { return []string{"the log is <full>"} }
	for path, want := range map[string]string{
		"/readyz?verbose": "\nwarning: the log is <full>\n",
		"/status":         `"warnings": [`,
		"/":               "<p class=bad>the log is &lt;full&gt;</p>",
	} {
		if got := d.ask("GET", path).Body.String(); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want it to say %q", path, got, want)
		}
	}
	d.draining.Store(true)
	if got := d.ask("GET", "/readyz?verbose").Body.String(); !strings.Contains(got, "draining") {
		t.Errorf("got %q, want it to say draining", got)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	park := status("park", tokens.Degraded, true)
	park.Expiry = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	park.Error = "the issuer does not answer"
	w := newFixture(park).ask("GET", "/status")
	is(t, "status", w.Code, 200)
	is(t, "type", w.Header().Get("Content-Type"), "application/json")
	is(t, "cache", w.Header().Get("Cache-Control"), "no-store")
	var got admin.Status
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	is(t, "version", got.Version, "1.2.3")
	is(t, "ready", got.Ready, true)
	if !reflect.DeepEqual(got.Accounts[0], park) {
		t.Errorf("account: got %+v, want %+v", got.Accounts[0], park)
	}
	is(t, "upstream", got.Upstreams[0].Name, "park")
	var members map[string]any
	json.Unmarshal(w.Body.Bytes(), &members)
	account := members["accounts"].([]any)[0].(map[string]any)
	for name := range account {
		if strings.Contains(name, "access") || strings.Contains(name, "secret") || name == "seed" || name == "refresh_token" {
			t.Errorf("status shows %s", name)
		}
	}
}

func TestPageForABrowser(t *testing.T) {
	t.Parallel()
	dead := status("park", tokens.Dead, false)
	dead.Error, dead.Hint, dead.Warnings = "<b>spent</b>", "run ticketproxy login park", []string{"the refresh token expires in 3 days"}
	d := newFixture(dead)
	w := d.ask("GET", "/")
	is(t, "status", w.Code, http.StatusOK)
	is(t, "type", w.Header().Get("Content-Type"), "text/html; charset=utf-8")
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("policy %q", csp)
	}
	for _, want := range []string{"not ready", `<td data-column="account">park</td>`, "dead", "&lt;b&gt;spent&lt;/b&gt;", "run ticketproxy login park", "expires in 3 days"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("page does not say %q: %s", want, w.Body)
		}
	}
	is(t, "elsewhere", d.ask("GET", "/debug/pprof/").Code, 404)
}

func TestQuit(t *testing.T) {
	t.Parallel()
	d := newFixture()
	is(t, "GET", d.ask("GET", "/quit").Code, 405)
	is(t, "from a web page", d.ask("POST", "/quit", header("Origin", "https://evil.example")).Code, 403)
	is(t, "from another machine", d.ask("POST", "/quit", from("192.0.2.1:1")).Code, 403)
	is(t, "DNS rebinding", d.ask("POST", "/quit", host("evil.example")).Code, 421)
	is(t, "quits", d.quits.Load(), 0)
	is(t, "POST", d.ask("POST", "/quit").Code, http.StatusAccepted)
	is(t, "quits", d.quits.Load(), 1)
	d.Quit = nil
	w := d.ask("POST", "/quit")
	is(t, "POST without permission", w.Code, http.StatusForbidden)
	if !strings.Contains(w.Body.String(), "TICKETPROXY_ADMIN_QUIT=true") {
		t.Errorf("no hint in %q", w.Body)
	}
}

func TestAccessByPeerAndHost(t *testing.T) {
	t.Parallel()
	open := []string{"/livez", "/healthz", "/startupz", "/readyz", "/readyz?verbose", "/metrics"}
	private := []string{"/status", "/"}
	for name, test := range map[string]struct {
		change        func(*http.Request)
		open, private int // 0: any status below 400
	}{
		"loopback":                            {from("127.0.0.1:1"), 0, 0},
		"loopback, IPv6":                      {from("[::1]:1"), 0, 0},
		"loopback, mapped":                    {from("[::ffff:127.0.0.1]:1"), 0, 0},
		"another machine":                     {from("192.0.2.1:1"), 0, 403},
		"another machine, IPv6":               {from("[2001:db8::1]:1"), 0, 403},
		"a peer without an address":           {from("@"), 0, 403},
		"claims to be loopback":               {func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1"; r.Header.Set("X-Forwarded-For", "127.0.0.1") }, 0, 403},
		"the pod's address":                   {host("10.0.0.7:9090"), 0, 421},
		"a Service's name":                    {host("park.svc:9090"), 0, 421},
		"no Host":                             {host(""), 0, 421},
		"DNS rebinding to loopback":           {at("127.0.0.1", "evil.example:9090"), 421, 421},
		"DNS rebinding to loopback, IPv6":     {at("::1", "evil.example:9090"), 421, 421},
		"the pod's address, a Service's name": {at("10.0.0.7", "park.svc:9090"), 0, 421},
		"a mesh redirects to loopback":        {at("127.0.0.1", "10.0.0.7:9090"), 0, 421},
		"a mesh redirects to loopback, IPv6":  {at("::1", "[fd00::7]:9090"), 0, 421},
		"localhost at loopback":               {at("127.0.0.1", "localhost:9090"), 0, 0},
		"allowed Host at loopback":            {at("127.0.0.1", "admin.test"), 0, 0},
		"allowed Host":                        {host("admin.test"), 0, 0},
		"a web page":                          {header("Sec-Fetch-Site", "cross-site"), 403, 403},
		"a web page of another port":          {header("Origin", "http://localhost:3000"), 403, 403},
		"an allowed web page":                 {header("Origin", "https://app.test"), 0, 0},
		"a typed address":                     {header("Sec-Fetch-Site", "none"), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newFixture(status("park", tokens.Ready, true))
			check := func(paths []string, want int) {
				for _, path := range paths {
					got := d.ask("GET", path, test.change).Code
					if want == 0 && got >= 400 || want != 0 && got != want {
						t.Errorf("%s: got %d, want %d", path, got, want)
					}
				}
			}
			check(open, test.open)
			check(private, test.private)
		})
	}
}

// TestOverASocket checks the handler's answers over a real connection.
func TestOverASocket(t *testing.T) {
	t.Parallel()
	d := newFixture(status("park", tokens.Ready, true))
	s := httptest.NewServer(admin.NewHandler(d.Config))
	defer s.Close()
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/startupz": 200, "/metrics": 200, "/status": 200, "/nothing": 404} {
		res, err := s.Client().Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		is(t, path, res.StatusCode, want)
	}
}

// TestConcurrentRequests lets many goroutines read the accounts' status at a time.
func TestConcurrentRequests(t *testing.T) {
	t.Parallel()
	d := newFixture(status("park", tokens.Ready, true))
	h := admin.NewHandler(d.Config)
	done := make(chan error)
	for i := range 16 {
		path := []string{"/startupz", "/readyz?verbose", "/status", "/metrics"}[i%4]
		go func() {
			r := httptest.NewRequest("GET", path, nil)
			r.Host, r.RemoteAddr = "localhost", "127.0.0.1:1"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 200 {
				done <- fmt.Errorf("%s: %d", path, w.Code)
				return
			}
			done <- nil
		}()
	}
	var err error
	for range 16 {
		err = errors.Join(err, <-done)
	}
	if err != nil {
		t.Error(err)
	}
}

// Until counts in the units that people use.
func TestUntil(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for after, want := range map[time.Duration]string{
		0: "now", 400 * time.Millisecond: "now", -400 * time.Millisecond: "now", 119 * time.Second: "in 119 s", 2 * time.Minute: "in 2 min",
		2*time.Hour - time.Second: "in 119 min", 2 * time.Hour: "in 2 h", 48*time.Hour - time.Second: "in 47 h",
		48 * time.Hour: "in 2 days", 8760 * time.Hour: "in 365 days", -time.Second: "1 s ago", -3 * time.Hour: "3 h ago",
	} {
		if got := admin.Until(now, now.Add(after)); got != want {
			t.Errorf("%v: %s, want %s", after, got, want)
		}
	}
	if got := admin.Until(now, time.Time{}); got != "-" {
		t.Errorf("no time: %s", got)
	}
}
