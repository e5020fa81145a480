package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	apiSecret      = "only-an-app-may-read-this"
	allowedHost    = "allowed.test" // its origin is in ALLOWED_ORIGINS
	browserTimeout = 60 * time.Second
)

// The tests with a browser are not parallel: a browser uses all CPUs, and other
// tests measure time.

// A browserFixture is the real program in front of an API that records its
// requests, with an attacker's web server beside it.
type browserFixture struct {
	t        *testing.T
	attacker *attacker
	api      *recorder
	proxy    *proxy
	app      string    // address of the app-facing listener
	tokens   string    // address of the listener that hands out tokens
	control  *recorder // an API without protection
}

func newBrowserFixture(t *testing.T, more ...string) *browserFixture {
	requirePrograms(t, chromium)
	f := &browserFixture{t: t, attacker: startAttacker(t)}
	f.api = startRecorder(t, "127.0.0.1:0", apiSecret)
	f.control = startRecorder(t, "127.0.0.1:0", apiSecret)
	shop := startSandbox(t, time.Hour)["openticket"]
	shop.setUpstream(f.api.URL)
	f.tokens = freeAddress(t)
	more = append(more, "TICKETPROXY_ALLOWED_ORIGINS="+f.attacker.origin(allowedHost), "TICKETPROXY_ADMIN_QUIT=true",
		"TICKETPROXY_TOKEN_LISTEN="+f.tokens)
	f.proxy = newProxy(t, t.TempDir(), map[string]*provider{"openticket": shop}, more...)
	f.app = f.proxy.listen["openticket"]
	f.proxy.start()
	f.proxy.awaitAllUsable(30 * time.Second)
	return f
}

// report waits for a page's report.
func (f *browserFixture) report() report {
	f.t.Helper()
	select {
	case r := <-f.attacker.reports:
		return r
	case <-time.After(browserTimeout):
		f.t.Fatalf("no report from the page after %v", browserTimeout)
	}
	return report{}
}

// awaitAttacks waits until each attack of the report has reached a server, and
// fails the test with the names of those that have not.
func awaitAttacks(t *testing.T, where string, r report, reached func() map[string]bool) {
	t.Helper()
	missing := r.Attacks
	deadline := time.Now().Add(10 * time.Second)
	for ; len(missing) > 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		now := reached()
		missing = slices.DeleteFunc(slices.Clone(r.Attacks), func(name string) bool { return now[name] })
	}
	if len(missing) > 0 {
		t.Errorf("%s: %d attacks did not arrive: %v", where, len(missing), missing)
	}
}

// untrusted returns the report without speculative loads. A browser makes those
// only to origins that it trusts: loopback and TLS.
func (r report) untrusted() report {
	r.Attacks = slices.DeleteFunc(slices.Clone(r.Attacks), func(name string) bool {
		return strings.HasPrefix(name, "speculate")
	})
	return r
}

// attacksOn returns the attacks that reached a recorder. CORS preflights do not
// count.
func attacksOn(r *recorder) map[string]bool {
	all := map[string]bool{}
	for _, req := range r.requests() {
		if req.Method != http.MethodOptions {
			all[req.URL.Query().Get("attack")] = true
		}
	}
	return all
}

// attacksThrough returns the attacks on a target that passed a tap.
func attacksThrough(p *tap, target string) map[string]bool {
	all := map[string]bool{}
	for _, one := range p.requests() {
		if q := one.url.Query(); q.Get("target") == target {
			all[q.Get("attack")] = true
		}
	}
	return all
}

// mustRefuse checks that every request through the tap got one of the allowed
// refusals. A browser may close the connection before an answer.
func mustRefuse(t *testing.T, p *tap, what string, allowed ...string) {
	t.Helper()
	count, wrong := map[string]int{}, map[string][]string{}
	for _, one := range p.requests() {
		answer := strings.TrimSpace(fmt.Sprint(one.status, " ", one.code))
		count[answer]++
		if one.status != 0 && !slices.Contains(allowed, answer) {
			wrong[answer] = append(wrong[answer], fmt.Sprintf("%s http://%s%s", one.method, one.host, one.url))
		}
	}
	for answer, requests := range wrong {
		t.Errorf("%s answered %q to %v", what, answer, requests)
	}
	t.Logf("%s: answers: %v", what, count)
}

// mustGetOnlyAppRequests checks that the API got the app's own requests and no
// others, and that the program still runs.
func (f *browserFixture) mustGetOnlyAppRequests(own int) {
	f.t.Helper()
	for _, r := range f.attackRequests() {
		f.t.Errorf("the API got %s %s with Origin %q, Sec-Fetch-Site %q",
			r.Method, r.URL, r.Header["Origin"], r.Header["Sec-Fetch-Site"])
	}
	if got := len(f.api.requests()) - len(f.attackRequests()); got != own {
		f.t.Errorf("the API got %d requests from the app, want %d", got, own)
	}
	f.mustBeRunning()
}

func (f *browserFixture) mustBeRunning() {
	f.t.Helper()
	if !f.proxy.alive() {
		f.t.Fatal("the program has exited")
	}
}

// attackRequests returns the requests at the API that the app did not make.
func (f *browserFixture) attackRequests() []*http.Request {
	return slices.DeleteFunc(f.api.requests(), func(r *http.Request) bool { return r.URL.Path == "/app" })
}

// appRequest makes an app's request and expects 200.
func (f *browserFixture) appRequest() {
	f.t.Helper()
	f.mustBeRunning()
	res, err := f.proxy.client.Get("http://" + f.app + "/app")
	if err != nil {
		f.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		f.t.Fatalf("app request: %s, want 200", res.Status)
	}
}

// TestHostilePage has pages run every attack on the app-facing listener, the admin listener
// and the token listener. No attack may reach the API, read an answer or stop the program.
func TestHostilePage(t *testing.T) {
	for host, names := range map[string][]string{
		"evil.test": {"127.0.0.1", "localhost", "localhost.", "proxied.test"}, // cross-site
		"127.0.0.1": {"127.0.0.1", "localhost"},                               // same host with another port, and another loopback host
	} {
		t.Run(host, func(t *testing.T) {
			f := newBrowserFixture(t)
			f.appRequest()
			targets, taps := []target{}, map[string]*tap{}
			for name, to := range map[string]string{"app": f.app, "admin": f.proxy.admin, "tokens": f.tokens} {
				taps[name] = startTap(t, "127.0.0.1:0", to)
			}
			addTarget := func(name, host, address, read, write string) {
				_, port, _ := strings.Cut(address, ":")
				targets = append(targets, target{name, "http://" + host + ":" + port, read, write})
			}
			through := map[string]*tap{} // by target
			for _, name := range names {
				addTarget(name, name, taps["app"].address, "/read", "/write")
				through[name] = taps["app"]
			}
			adminPaths := map[string]string{"status": "/status", "metrics": "/metrics", "ready": "/readyz?verbose"}
			for name, read := range adminPaths {
				addTarget(name, "127.0.0.1", taps["admin"].address, read, "/quit")
				through[name] = taps["admin"]
			}
			addTarget("tokens", "127.0.0.1", taps["tokens"].address, "/token/openticket", "/token/openticket")
			through["tokens"] = taps["tokens"]
			addTarget("control", "127.0.0.1", f.control.address(), "/read", "/write") // must be last

			f.attacker.serve("/attacks", attackPage(f.attacker.origin(host), false, targets...))
			open(t, f.attacker.origin(host)+"/attacks")
			r := f.report()
			f.appRequest()
			awaitAttacks(t, "the control", r, func() map[string]bool { return attacksOn(f.control) })
			for name, p := range through {
				fired := r
				if name == "proxied.test" {
					fired = r.untrusted()
				}
				awaitAttacks(t, name, fired, func() map[string]bool { return attacksThrough(p, name) })
			}
			controlReads := map[string]bool{}
			for _, read := range r.Reads {
				if read.Target == "control" {
					controlReads[read.Attack] = true
				} else {
					t.Errorf("%s: attack %s read %.80q", read.Target, read.Attack, read.Text)
				}
			}
			if !controlReads["fetchCors"] || !controlReads["xhrPut"] {
				t.Errorf("only these attacks read the control: %v", slices.Sorted(maps.Keys(controlReads)))
			}
			mustRefuse(t, taps["app"], "the app's listener", "403 cross_site", "421 host_not_allowed")
			mustRefuse(t, taps["admin"], "the admin listener", "403 cross_site", "405", "404")
			mustRefuse(t, taps["tokens"], "the token listener", "403 cross_site")
			f.mustGetOnlyAppRequests(2)
			t.Logf("%d attacks, of which these read the control: %v", len(r.Attacks), slices.Sorted(maps.Keys(controlReads)))
		})
	}
}

// A rebinding is a name that first leads to an attacker's server and then to a tap.
type rebinding struct {
	host, to    string
	read, write string
	allowed     []string // answers that the tap may carry
	first       *recorder
	tap         *tap
}

// TestDNSRebinding loads pages from the attacker's server. Then the program takes
// over the server's port, so that the pages' own origin leads to the program.
func TestDNSRebinding(t *testing.T) {
	f := newBrowserFixture(t)
	f.appRequest()
	attackerOrigin := f.attacker.origin("evil.test")
	adminRefusals := []string{"421 host_not_allowed", "404", "405"}
	rebindings := []*rebinding{
		{host: "app.rebind.test", to: f.app, read: "/read", write: "/write", allowed: []string{"421 host_not_allowed"}},
		{host: "status.rebind.test", to: f.proxy.admin, read: "/status", write: "/quit", allowed: adminRefusals},
		{host: "metrics.rebind.test", to: f.proxy.admin, read: "/metrics", write: "/quit", allowed: adminRefusals},
		{host: "token.rebind.test", to: f.tokens, read: "/token/openticket", write: "/token/openticket",
			allowed: []string{"421 host_not_allowed", "403 cross_site"}},
		{host: "control.rebind.test", to: f.control.address(), read: "/read", write: "/write", allowed: []string{"200"}},
	}
	frames := ""
	for _, b := range rebindings {
		b.first = startRecorder(t, freeAddress(t), "")
		b.first.Config.SetKeepAlivesEnabled(false)
		_, port, _ := strings.Cut(b.first.address(), ":")
		origin := "http://" + b.host + ":" + port
		b.first.pages["/"] = attackPage(attackerOrigin, true, target{b.host, origin, b.read, b.write})
		frames += fmt.Sprintf(`<iframe src="%s/"></iframe>`, origin)
	}
	f.attacker.serve("/frames", frames)
	open(t, attackerOrigin+"/frames")
	for range rebindings {
		select {
		case <-f.attacker.waiting:
		case <-time.After(browserTimeout):
			t.Fatalf("the pages have not loaded after %v", browserTimeout)
		}
	}
	for _, b := range rebindings {
		address := b.first.address()
		b.first.stop()
		b.tap = startTap(t, address, b.to)
	}
	close(f.attacker.gate)
	for range rebindings {
		r := f.report()
		b := rebindings[slices.IndexFunc(rebindings, func(b *rebinding) bool { return b.host == r.Page })]
		awaitAttacks(t, b.host, r.untrusted(), func() map[string]bool { return attacksThrough(b.tap, b.host) })
		mustRefuse(t, b.tap, b.host, b.allowed...)
		leaks := map[string]bool{}
		for _, read := range r.Reads {
			if strings.Contains(read.Text, apiSecret) || strings.Contains(read.Text, "openticket") ||
				strings.Contains(read.Text, "access_token") {
				leaks[read.Attack] = true
			}
		}
		if b.to == f.control.address() {
			if !leaks["fetchCors"] || !leaks["xhrPut"] {
				t.Errorf("only these attacks read the control: %v", slices.Sorted(maps.Keys(leaks)))
			}
		} else if len(leaks) > 0 {
			t.Errorf("%s%s: these attacks read it: %v", b.host, b.read, slices.Sorted(maps.Keys(leaks)))
		}
	}
	f.appRequest()
	f.mustGetOnlyAppRequests(2)
}

// TestLinkRedirectedToProxy opens a link from outside the browser, as from an
// email. The attacker's server redirects it to the program. The browser sends
// Sec-Fetch-Site: none, as for a typed address, because it judges by the first URL.
// That one GET goes through, as the README says, and nothing after it.
func TestLinkRedirectedToProxy(t *testing.T) {
	f := newBrowserFixture(t)
	p := startTap(t, "127.0.0.1:0", f.app)
	open(t, f.attacker.origin("evil.test")+"/redirect?status=302&to=http://"+p.address+"/read?attack=redirect")
	await(t, browserTimeout, "the browser follows the redirect to the program", func() bool {
		all := p.requests()
		return len(all) > 0 && all[0].status != 0
	})
	for _, r := range f.attackRequests() {
		if r.Header.Get("Sec-Fetch-Site") != "none" || r.Method != http.MethodGet || r.FormValue("attack") != "redirect" {
			t.Errorf("the API got %s %s with Sec-Fetch-Site %q", r.Method, r.URL, r.Header["Sec-Fetch-Site"])
		}
	}
}

// TestHostilePageAtAllowedHost attacks the program under an allowed name that is
// not loopback. A browser's GET to such a name has neither Origin nor Sec-Fetch-Site
// and goes through, as the README says. Every other request is refused.
func TestHostilePageAtAllowedHost(t *testing.T) {
	f := newBrowserFixture(t, "TICKETPROXY_ALLOWED_HOSTS=proxied.test")
	p := startTap(t, "127.0.0.1:0", f.app)
	_, port, _ := strings.Cut(p.address, ":")
	attackerOrigin := f.attacker.origin("evil.test")
	to := target{"proxied.test", "http://proxied.test:" + port, "/read", "/write"}
	f.attacker.serve("/attacks", attackPage(attackerOrigin, false, to))
	open(t, attackerOrigin+"/attacks")
	r := f.report()
	awaitAttacks(t, "the app's listener", r.untrusted(), func() map[string]bool { return attacksThrough(p, to.Name) })
	for _, r := range f.attackRequests() {
		marked := len(r.Header["Origin"])+len(r.Header["Sec-Fetch-Site"]) > 0
		if marked || r.Method != http.MethodGet && r.Method != http.MethodHead {
			t.Errorf("the API got %s %s with Origin %q, Sec-Fetch-Site %q",
				r.Method, r.URL, r.Header["Origin"], r.Header["Sec-Fetch-Site"])
		}
	}
}

// TestAllowedPage checks that two pages may make every request: a page of an
// allowed origin, and a page that the API itself serves.
func TestAllowedPage(t *testing.T) {
	f := newBrowserFixture(t)
	attackerOrigin := f.attacker.origin("evil.test")
	const script = `<!doctype html><body><script type="module">
		const texts = []
		for (const [method, options] of [['GET', {}], ['GET', {credentials: 'include'}], ['HEAD', {credentials: 'include'}],
				['POST', {body: '{}', headers: {'Content-Type': 'application/json'}}],
				['PUT', {body: '{}'}], ['DELETE', {headers: {'X-Custom': '1'}}]]) {
			texts.push(await fetch('%[1]s/fetch?from=' + location.hostname, {method, ...options}).then(r => r.text(), String))
		}
		const load = (name, properties) => new Promise(done => {
			const e = Object.assign(document.createElement(name), properties)
			e.onload = e.onerror = done
			document.body.append(e)
		})
		await load('img', {src: '%[1]s/load?by=img'})
		await load('iframe', {src: '%[1]s/load?by=iframe'})
		await load('iframe', {name: 'linked'})
		Object.assign(document.createElement('a'), {href: '%[1]s/load?by=link', target: 'linked'}).click()
		await fetch('%[2]s/report', {method: 'POST', mode: 'no-cors', body: JSON.stringify({page: location.hostname,
			attacks: texts, reads: []})})
	</script>`
	f.attacker.serve("/allowed", fmt.Sprintf(script, "http://"+f.app, attackerOrigin))
	f.api.pages["/own"] = fmt.Sprintf(script, "", attackerOrigin)
	for _, url := range []string{f.attacker.origin(allowedHost) + "/allowed", "http://" + f.app + "/own"} {
		open(t, url)
		r := f.report()
		if want := []string{apiSecret, apiSecret, "", apiSecret, apiSecret, apiSecret}; !slices.Equal(r.Attacks, want) {
			t.Errorf("the page at %s got %q, want %q", r.Page, r.Attacks, want)
		}
	}
	await(t, browserTimeout, "both pages load an image, a frame and a link", func() bool {
		loads := map[string]int{}
		for _, r := range f.api.requests() {
			if r.URL.Path == "/load" {
				loads[r.FormValue("by")]++
			}
		}
		return loads["img"] == 2 && loads["iframe"] == 2 && loads["link"] == 2
	})
	fetches := map[string]int{}
	for _, r := range f.api.requests() {
		if r.URL.Path == "/fetch" {
			fetches[r.FormValue("from")+" "+r.Method]++
		}
	}
	for _, page := range []string{allowedHost, "127.0.0.1"} {
		for method, want := range map[string]int{"GET": 2, "HEAD": 1, "POST": 1, "PUT": 1, "DELETE": 1} {
			if got := fetches[page+" "+method]; got != want {
				t.Errorf("the API got %d %s requests from the page at %s, want %d", got, method, page, want)
			}
		}
	}
}
