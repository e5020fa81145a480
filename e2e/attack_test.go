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
	allowedHost    = "friend.test" // the origin that is allowed in
	browserTimeout = 60 * time.Second
)

// The tests with a browser are not parallel: it takes all the processors, and
// others measure time.

// A browserFixture is the real program in front of an API that notes whatever
// reaches it, and an attacker next to it.
type browserFixture struct {
	t        *testing.T
	attacker *attacker
	api      *recorder
	proxy    *proxy
	app      string // where the app's listener is
	control  *recorder
}

func newBrowserFixture(t *testing.T, more ...string) *browserFixture {
	requirePrograms(t, chromium)
	f := &browserFixture{t: t, attacker: startAttacker(t)}
	f.api = startRecorder(t, "127.0.0.1:0", apiSecret)
	f.control = startRecorder(t, "127.0.0.1:0", apiSecret)
	shop := startSandbox(t, time.Hour)["openticket"]
	shop.setUpstream(f.api.URL)
	more = append(more, "TICKETPROXY_ALLOWED_ORIGINS="+f.attacker.origin(allowedHost), "TICKETPROXY_ADMIN_QUIT=true")
	f.proxy = newProxy(t, t.TempDir(), map[string]*provider{"openticket": shop}, more...)
	f.app = f.proxy.listen["openticket"]
	f.proxy.start()
	f.proxy.awaitAllUsable(30 * time.Second)
	return f
}

// report awaits what a page has to say.
func (f *browserFixture) report() report {
	f.t.Helper()
	select {
	case r := <-f.attacker.reports:
		return r
	case <-time.After(browserTimeout):
		f.t.Fatalf("waited %v in vain for the page's report", browserTimeout)
	}
	return report{}
}

// awaitAttacks returns once each attack of the report has reached a server, and
// otherwise says which did not.
func awaitAttacks(t *testing.T, where string, r report, reached func() map[string]bool) {
	t.Helper()
	missing := r.Attacks
	for deadline := time.Now().Add(10 * time.Second); len(missing) > 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		now := reached()
		missing = slices.DeleteFunc(slices.Clone(r.Attacks), func(name string) bool { return now[name] })
	}
	if len(missing) > 0 {
		t.Errorf("%s: %d attacks never arrived: %v", where, len(missing), missing)
	}
}

// untrusted returns the report less the attacks that a browser makes only on what
// it trusts, which is loopback and TLS.
func (r report) untrusted() report {
	r.Attacks = slices.DeleteFunc(slices.Clone(r.Attacks), func(name string) bool { return strings.HasPrefix(name, "speculate") })
	return r
}

// attacksOn returns the attacks that reached a recorder, not counting the
// browser's question whether it may send them.
func attacksOn(r *recorder) map[string]bool {
	all := map[string]bool{}
	for _, req := range r.requests() {
		if req.Method != http.MethodOptions {
			all[req.URL.Query().Get("attack")] = true
		}
	}
	return all
}

// attacksThrough returns the attacks on a target that went through a tap.
func attacksThrough(p *tap, target string) map[string]bool {
	all := map[string]bool{}
	for _, one := range p.requests() {
		if q := one.url.Query(); q.Get("target") == target {
			all[q.Get("attack")] = true
		}
	}
	return all
}

// mustRefuse checks that what passed was answered with what only the program
// says to strangers. A browser may leave before an answer.
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
	t.Logf("%s gave these answers: %v", what, count)
}

// mustGetOnlyAppRequests checks that the app's own requests came to the API, and no
// other, and that the program goes on.
func (f *browserFixture) mustGetOnlyAppRequests(own int) {
	f.t.Helper()
	for _, r := range f.attackRequests() {
		f.t.Errorf("the API got %s %s from Origin %q, Sec-Fetch-Site %q", r.Method, r.URL, r.Header["Origin"], r.Header["Sec-Fetch-Site"])
	}
	if got := len(f.api.requests()) - len(f.attackRequests()); got != own {
		f.t.Errorf("the API got %d requests of the app, want %d", got, own)
	}
	f.mustBeRunning()
}

func (f *browserFixture) mustBeRunning() {
	f.t.Helper()
	if !f.proxy.alive() {
		f.t.Fatal("the program was stopped")
	}
}

// strangers returns what came to the API that is not the app's.
func (f *browserFixture) attackRequests() []*http.Request {
	return slices.DeleteFunc(f.api.requests(), func(r *http.Request) bool { return r.URL.Path == "/app" })
}

// ask makes an app's request, which must reach the API.
func (f *browserFixture) appRequest() {
	f.t.Helper()
	f.mustBeRunning()
	res, err := f.proxy.client.Get("http://" + f.app + "/app")
	if err != nil {
		f.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		f.t.Fatalf("an app's request: %s, want 200", res.Status)
	}
}

// TestHostilePage has pages try everything on an app's listener and on the
// admin's. Nothing may reach the API, be read, or stop the program.
func TestHostilePage(t *testing.T) {
	for host, names := range map[string][]string{
		"evil.test": {"127.0.0.1", "localhost", "localhost.", "proxied.test"}, // another site
		"127.0.0.1": {"127.0.0.1", "localhost"},                               // another port of the same, and another
	} {
		t.Run(host, func(t *testing.T) {
			f := newBrowserFixture(t)
			f.appRequest()
			targets, taps := []target{}, map[string]*tap{}
			for name, to := range map[string]string{"app": f.app, "admin": f.proxy.admin} {
				taps[name] = startTap(t, "127.0.0.1:0", to)
			}
			aim := func(name, host, address, read, write string) {
				_, port, _ := strings.Cut(address, ":")
				targets = append(targets, target{name, "http://" + host + ":" + port, read, write})
			}
			through := map[string]*tap{} // by target
			for _, name := range names {
				aim(name, name, taps["app"].address, "/read", "/write")
				through[name] = taps["app"]
			}
			for name, read := range map[string]string{"status": "/status", "metrics": "/metrics", "ready": "/readyz?verbose"} {
				aim(name, "127.0.0.1", taps["admin"].address, read, "/quit")
				through[name] = taps["admin"]
			}
			aim("control", "127.0.0.1", f.control.address(), "/read", "/write") // is last

			f.attacker.serve("/campaign", campaign(f.attacker.origin(host), false, targets...))
			open(t, f.attacker.origin(host)+"/campaign")
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
			controlled := map[string]bool{}
			for _, read := range r.Reads {
				if read.Target == "control" {
					controlled[read.Attack] = true
				} else {
					t.Errorf("%s: %s could read %.80q", read.Target, read.Attack, read.Text)
				}
			}
			if !controlled["fetchCors"] || !controlled["xhrPut"] {
				t.Errorf("the control was read by no more than %v", slices.Sorted(maps.Keys(controlled)))
			}
			mustRefuse(t, taps["app"], "the app's listener", "403 cross_site", "421 host_not_allowed")
			mustRefuse(t, taps["admin"], "the admin listener", "403 cross_site", "405", "404")
			f.mustGetOnlyAppRequests(2)
			t.Logf("%d attacks, of which these read the control: %v", len(r.Attacks), slices.Sorted(maps.Keys(controlled)))
		})
	}
}

// A rebinding is a name that first means an attacker's server and then a tap.
type rebinding struct {
	host, to    string
	read, write string
	allowed     []string // answers
	first       *recorder
	tap         *tap
}

// TestDNSRebinding has pages whose own name comes to mean the program: they are
// loaded from the attacker's server on a port, where next the program listens.
func TestDNSRebinding(t *testing.T) {
	f := newBrowserFixture(t)
	f.appRequest()
	home := f.attacker.origin("evil.test")
	stranger := []string{"421 host_not_allowed", "404", "405"}
	worlds := []*rebinding{
		{host: "app.rebind.test", to: f.app, read: "/read", write: "/write", allowed: []string{"421 host_not_allowed"}},
		{host: "status.rebind.test", to: f.proxy.admin, read: "/status", write: "/quit", allowed: stranger},
		{host: "metrics.rebind.test", to: f.proxy.admin, read: "/metrics", write: "/quit", allowed: stranger},
		{host: "control.rebind.test", to: f.control.address(), read: "/read", write: "/write", allowed: []string{"200"}},
	}
	frames := ""
	for _, w := range worlds {
		w.first = startRecorder(t, freeAddress(t), "")
		w.first.Config.SetKeepAlivesEnabled(false)
		_, port, _ := strings.Cut(w.first.address(), ":")
		origin := "http://" + w.host + ":" + port
		w.first.pages["/"] = campaign(home, true, target{w.host, origin, w.read, w.write})
		frames += fmt.Sprintf(`<iframe src="%s/"></iframe>`, origin)
	}
	f.attacker.serve("/frames", frames)
	open(t, home+"/frames")
	for range worlds {
		select {
		case <-f.attacker.waiting:
		case <-time.After(browserTimeout):
			t.Fatalf("waited %v in vain for the pages to be loaded", browserTimeout)
		}
	}
	for _, w := range worlds {
		address := w.first.address()
		w.first.stop()
		w.tap = startTap(t, address, w.to)
	}
	close(f.attacker.gate)
	for range worlds {
		r := f.report()
		w := worlds[slices.IndexFunc(worlds, func(w *rebinding) bool { return w.host == r.Page })]
		awaitAttacks(t, w.host, r.untrusted(), func() map[string]bool { return attacksThrough(w.tap, w.host) })
		mustRefuse(t, w.tap, w.host, w.allowed...)
		leaks := map[string]bool{}
		for _, read := range r.Reads {
			if strings.Contains(read.Text, apiSecret) || strings.Contains(read.Text, "openticket") {
				leaks[read.Attack] = true
			}
		}
		if w.to == f.control.address() {
			if !leaks["fetchCors"] || !leaks["xhrPut"] {
				t.Errorf("the control was read by no more than %v", slices.Sorted(maps.Keys(leaks)))
			}
		} else if len(leaks) > 0 {
			t.Errorf("%s%s: could be read by %v", w.host, w.read, slices.Sorted(maps.Keys(leaks)))
		}
	}
	f.appRequest()
	f.mustGetOnlyAppRequests(2)
}

// TestLinkRedirectedToProxy follows a link from outside of the browser, as from a letter,
// which the attacker's server redirects to the program. The browser says that a
// person typed the address, for it goes by where the journey began: that one GET
// goes through, as the README says, and nothing after it.
func TestLinkRedirectedToProxy(t *testing.T) {
	f := newBrowserFixture(t)
	p := startTap(t, "127.0.0.1:0", f.app)
	open(t, f.attacker.origin("evil.test")+"/redirect?status=302&to=http://"+p.address+"/read?attack=led")
	await(t, browserTimeout, "the browser was led to the program", func() bool {
		all := p.requests()
		return len(all) > 0 && all[0].status != 0
	})
	for _, r := range f.attackRequests() {
		if r.Header.Get("Sec-Fetch-Site") != "none" || r.Method != http.MethodGet || r.FormValue("attack") != "led" {
			t.Errorf("the API got %s %s from Sec-Fetch-Site %q", r.Method, r.URL, r.Header["Sec-Fetch-Site"])
		}
	}
}

// TestHostilePageAtAllowedHost attacks the program by a name that is not
// loopback's. There browsers do not say from where a page's GET comes, and it
// goes through, as the README says; all else is refused.
func TestHostilePageAtAllowedHost(t *testing.T) {
	f := newBrowserFixture(t, "TICKETPROXY_ALLOWED_HOSTS=proxied.test")
	p := startTap(t, "127.0.0.1:0", f.app)
	_, port, _ := strings.Cut(p.address, ":")
	home := f.attacker.origin("evil.test")
	f.attacker.serve("/campaign", campaign(home, false, target{"proxied.test", "http://proxied.test:" + port, "/read", "/write"}))
	open(t, home+"/campaign")
	r := f.report()
	awaitAttacks(t, "the app's listener", r.untrusted(), func() map[string]bool { return attacksThrough(p, "proxied.test") })
	for _, r := range f.attackRequests() {
		if marked := len(r.Header["Origin"])+len(r.Header["Sec-Fetch-Site"]) > 0; marked || r.Method != http.MethodGet && r.Method != http.MethodHead {
			t.Errorf("the API got %s %s from Origin %q, Sec-Fetch-Site %q", r.Method, r.URL, r.Header["Origin"], r.Header["Sec-Fetch-Site"])
		}
	}
}

// TestAllowedPage shows that what is to work does: a page of an allowed origin
// does what it likes, and so does a page that the API itself serves to a person.
func TestAllowedPage(t *testing.T) {
	f := newBrowserFixture(t)
	home := f.attacker.origin("evil.test")
	const play = `<!doctype html><body><script type="module">
		const texts = []
		for (const [method, options] of [['GET', {}], ['GET', {credentials: 'include'}], ['HEAD', {credentials: 'include'}], ['POST', {body: '{}', headers: {'Content-Type': 'application/json'}}],
				['PUT', {body: '{}'}], ['DELETE', {headers: {'X-Custom': '1'}}]]) {
			texts.push(await fetch('%[1]s/play?of=' + location.hostname, {method, ...options}).then(r => r.text(), String))
		}
		const load = (name, properties) => new Promise(done => {
			const e = Object.assign(document.createElement(name), properties)
			e.onload = e.onerror = done
			document.body.append(e)
		})
		await load('img', {src: '%[1]s/led?by=img'})
		await load('iframe', {src: '%[1]s/led?by=iframe'})
		await load('iframe', {name: 'linked'})
		Object.assign(document.createElement('a'), {href: '%[1]s/led?by=link', target: 'linked'}).click()
		await fetch('%[2]s/report', {method: 'POST', mode: 'no-cors', body: JSON.stringify({page: location.hostname,
			attacks: texts, reads: []})})
	</script>`
	f.attacker.serve("/friend", fmt.Sprintf(play, "http://"+f.app, home))
	f.api.pages["/own"] = fmt.Sprintf(play, "", home)
	for _, url := range []string{f.attacker.origin(allowedHost) + "/friend", "http://" + f.app + "/own"} {
		open(t, url)
		r := f.report()
		if want := []string{apiSecret, apiSecret, "", apiSecret, apiSecret, apiSecret}; !slices.Equal(r.Attacks, want) {
			t.Errorf("the page at %s got %q, want %q", r.Page, r.Attacks, want)
		}
	}
	await(t, browserTimeout, "both pages load an image, a frame and a link", func() bool {
		led := map[string]int{}
		for _, r := range f.api.requests() {
			if r.URL.Path == "/led" {
				led[r.FormValue("by")]++
			}
		}
		return led["img"] == 2 && led["iframe"] == 2 && led["link"] == 2
	})
	played := map[string]int{}
	for _, r := range f.api.requests() {
		if r.URL.Path == "/play" {
			played[r.FormValue("of")+" "+r.Method]++
		}
	}
	for _, page := range []string{allowedHost, "127.0.0.1"} {
		for method, want := range map[string]int{"GET": 2, "HEAD": 1, "POST": 1, "PUT": 1, "DELETE": 1} {
			if got := played[page+" "+method]; got != want {
				t.Errorf("the API got %d requests %s of the page at %s, want %d", got, method, page, want)
			}
		}
	}
}
