package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestForeignIssuers runs the program against authorization servers of other projects.
// They all do what the RFCs leave open in their own way.
func TestForeignIssuers(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) *foreignIssuer{
		"django-oauth-toolkit":            startDjango,
		"django-oauth-toolkit with grace": startDjangoWithGrace,
		"glewlwyd":                        startGlewlwyd,
		"glewlwyd with lasting tokens":    startGlewlwydLasting,
		"hydra":                           startHydra,
		"hydra with grace":                startHydraGrace,
		"oidc-provider":                   startOIDCProvider,
		"zitadel":                         startZitadel,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newIssuerRun(t, start(t)).run()
		})
	}
}

// issuerAccount is the account whose issuer is another project's.
const issuerAccount = "tickets"

// An issuerRun is an instance of the program with one account, its issuer and an API.
type issuerRun struct {
	*testing.T
	*foreignIssuer
	proxy *proxy
	api   *issuerAPI

	served, failed, deaths int // failed counts what apps saw while nothing was wrong
	refused                int // how often the API refused an access token meanwhile
}

func newIssuerRun(t *testing.T, f *foreignIssuer) *issuerRun {
	t.Helper()
	api := &issuerAPI{T: t, issuer: f, known: map[string]introspected{}}
	settings := append(slices.Clone(f.settings), "UPSTREAM_URL="+serveAPI(t, api))
	providers := map[string]*provider{issuerAccount: {t: t, name: issuerAccount, settings: settings}}
	return &issuerRun{T: t, foreignIssuer: f, api: api, proxy: newProxy(t, t.TempDir(), providers)}
}

// run has the parts of the test follow each other on one state directory.
func (r *issuerRun) run() {
	r.Helper()
	r.login(1)
	if r.authRefused {
		r.wrongClient()
	}
	r.proxy.start()
	r.proxy.awaitUsable(issuerAccount, 30*time.Second)
	r.rotation()
	asked, most := r.front.refreshes()
	r.lostAnswers()
	r.reuse()
	r.Logf("%s: %d requests in %v, %d refreshes, at most %d of one refresh token, "+
		"%d refusals by the API, %d errors that apps saw, %d deaths",
		r.name, r.served, r.loadTime(), asked, most, r.refused, r.failed, r.deaths)
	if code := r.proxy.terminate(30 * time.Second); code != 0 {
		r.Errorf("exit code %d after SIGTERM, want 0", code)
	}
}

// login logs in as a person without a browser on the program's machine.
func (r *issuerRun) login(generation int) {
	r.Helper()
	cmd := exec.Command(binary, "login", "--no-browser", "--redirect-uri", r.redirectURI, issuerAccount)
	cmd.Env = r.proxy.environ()
	output := &tail{}
	cmd.Stdout, cmd.Stderr = output, output
	stdin, err := cmd.StdinPipe()
	if err != nil {
		r.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	r.Cleanup(func() { cmd.Process.Kill() })
	var address string
	await(r.T, time.Minute, "the login prints an address", func() bool {
		select {
		case <-ended:
			r.Fatalf("the login has ended:\n%s", output.String())
		default:
		}
		for line := range strings.Lines(output.String()) {
			if line = strings.TrimSpace(line); strings.Contains(line, "state=") {
				address = line
			}
		}
		return address != ""
	})
	if _, err := io.WriteString(stdin, r.allow(r.T, address)+"\n"); err != nil {
		r.Error(err)
	}
	stdin.Close()
	<-ended
	want := fmt.Sprintf("logged in, generation %d", generation)
	if code := cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(output.String(), want) {
		r.Fatalf("login: exit code %d, want 0 and %q:\n%s", code, want, output.String())
	}
}

// wrongClient has the program run with a wrong client secret. That costs neither the
// account nor its refresh token.
func (r *issuerRun) wrongClient() {
	r.Helper()
	account := r.proxy.providers[issuerAccount]
	before := readRecord(r.T, r.proxy.dir, issuerAccount)
	account.set("CLIENT_SECRET", "e2e-only-wrong")
	r.proxy.start()
	await(r.T, 30*time.Second, "the program listens", func() bool { return accepts(r.proxy.listen[issuerAccount]) })
	await(r.T, r.patience(), "the issuer refuses the client", func() bool {
		if a, err := r.proxy.request(issuerAccount); err != nil || !a.ok() && a.code != "token_unavailable" {
			r.Fatalf("with a wrong client: %v, %+v, want 2xx or token_unavailable", err, a)
		}
		return r.proxy.status(issuerAccount).Error != ""
	})
	await(r.T, r.patience(), "the access token expires", func() bool {
		ok, _ := r.proxy.ready()
		return !ok
	})
	s := r.proxy.status(issuerAccount)
	if s.State == "dead" || !strings.Contains(s.Error, "client") || !strings.Contains(s.Hint, "CLIENT_SECRET") {
		r.Errorf("with a wrong client: %+v, want an error about the client, and a hint that names CLIENT_SECRET", s)
	}
	if _, why := r.proxy.ready(); !strings.Contains(why, "client") {
		r.Errorf("/readyz with a wrong client does not name it: %s", why)
	}
	r.mustGet("token_unavailable")
	if code := r.proxy.terminate(30 * time.Second); code != 0 {
		r.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	after := readRecord(r.T, r.proxy.dir, issuerAccount)
	if asked, most := r.front.refreshes(); asked == 0 || most != 0 || after.RefreshToken != before.RefreshToken {
		r.Errorf("with a wrong client: %d token requests, want some, and %d redemptions, want none; record %+v",
			asked, most, after)
	}
	account.set("CLIENT_SECRET", r.setting("CLIENT_SECRET"))
}

// rotation has four apps make requests while the access token expires a few times. Some
// issuers end an access token when they give the next one, which takes a moment to reach
// the program.
func (r *issuerRun) rotation() {
	r.Helper()
	before, _ := r.front.refreshes()
	r.front.holdBack(300 * time.Millisecond)
	r.api.believe(100 * time.Millisecond)
	defer r.front.holdBack(0)
	defer func() { r.refused = r.api.believe(0) }()
	served, failed, example := r.load(r.loadTime())
	r.served += served
	for _, n := range failed {
		r.failed += n
	}
	if len(failed) > 0 || served == 0 {
		r.Errorf("%d requests were served, and these were not: %v, first %s", served, failed, example)
	}
	asked, most := r.front.refreshes()
	if asked-before < int(r.loadTime()/r.accessLifetime)-1 {
		r.Errorf("%d refreshes in %v, though an access token lives %v", asked-before, r.loadTime(), r.accessLifetime)
	}
	if r.rotates && most != 1 {
		r.Errorf("a refresh token was redeemed %d times, want 1", most)
	}
}

// load has four apps make requests for a time, and returns the sum of their results.
func (r *issuerRun) load(lasting time.Duration) (served int, failed map[string]int, example string) {
	var apps []*load
	for range 4 {
		apps = append(apps, startLoad(r.proxy, issuerAccount, 20*time.Millisecond))
	}
	time.Sleep(lasting)
	failed = map[string]int{}
	for _, app := range apps {
		s, f, e := app.end()
		served += s
		for what, n := range f {
			failed[what] += n
		}
		if example == "" {
			example = e
		}
	}
	return served, failed, example
}

// lostAnswers loses the answer to a refresh. The issuer has acted on it.
func (r *issuerRun) lostAnswers() {
	r.Helper()
	generation, losses := r.proxy.status(issuerAccount).Generation, r.front.losses()
	r.front.loseAnswers(1)
	if r.lostAnswer || !r.rotates {
		served, failed, example := r.load(2 * r.accessLifetime)
		if len(failed) > 0 || served == 0 {
			r.Errorf("after a lost answer %d requests were served, and these were not: %v, first %s", served, failed, example)
		}
		if s := r.proxy.status(issuerAccount); s.Generation <= generation || !s.Usable {
			r.Errorf("after a lost answer: %+v, want a generation above %d", s, generation)
		}
	} else {
		r.mustServeUntilLogin(r.proxy.status(issuerAccount).Expiry)
	}
	if n := r.front.losses() - losses; n != 1 {
		r.Errorf("%d answers were lost, want 1", n)
	}
}

// reuse redeems a refresh token a second time, past the program, as a thief would.
func (r *issuerRun) reuse() {
	r.Helper()
	r.proxy.mustServe(issuerAccount)
	known, old := r.api.tokens(), readRecord(r.T, r.proxy.dir, issuerAccount)
	// The API then knows the access token, and goes on taking it.
	await(r.T, r.patience(), "an app is served with the next access token", func() bool {
		r.proxy.mustServe(issuerAccount)
		return r.api.tokens() > known && readRecord(r.T, r.proxy.dir, issuerAccount).Generation > old.Generation
	})
	expiry := r.proxy.status(issuerAccount).Expiry
	status, code := r.refresh(r.T, old.RefreshToken)
	if !r.reuseRevokes {
		served, failed, example := r.load(2 * r.accessLifetime)
		if len(failed) > 0 || served == 0 {
			r.Errorf("after a reuse %d requests were served, and these were not: %v, first %s", served, failed, example)
		}
		return
	}
	want := "invalid_grant"
	if r.codeless {
		want = ""
	}
	if status != http.StatusBadRequest || code != want {
		r.Errorf("a refresh token that was redeemed before: %d %q, want 400 %q", status, code, want)
	}
	r.mustServeUntilLogin(expiry)
}

// mustServeUntilLogin makes requests until the account is lost. They are served until the
// access token expires, and then answered 503 login_required. A login lets the running
// process serve again.
//
// After an answer without an error code the program cannot know that the refresh token is
// what was refused. The account does not die, and apps are answered token_unavailable.
func (r *issuerRun) mustServeUntilLogin(expiry time.Time) {
	r.Helper()
	// The issuer counts in whole seconds, and the program takes away 1 %.
	const tolerance = 1500 * time.Millisecond
	want := "login_required"
	if r.codeless {
		want = "token_unavailable"
	}
	await(r.T, r.patience(), "the account is lost", func() bool {
		began := time.Now()
		a, err := r.proxy.request(issuerAccount)
		switch {
		case err == nil && a.ok():
			return false
		case err != nil || a.status != http.StatusServiceUnavailable || a.code != want:
			r.Fatalf("request of a lost account: %v, %+v, want 2xx, then 503 %s", err, a, want)
		case began.Before(expiry.Add(-tolerance)):
			r.Errorf("503 %s %v before the access token expires", want, expiry.Sub(began))
		}
		return true
	})
	s := r.proxy.status(issuerAccount)
	if r.codeless {
		if s.State == "dead" || !strings.Contains(s.Error, "issuer answered 400") {
			r.Errorf("after a refusal without a code: %+v, want an account that is not dead, and the issuer's status", s)
		}
	} else {
		r.deaths++
		r.proxy.mustBeDead(issuerAccount)
		if !strings.Contains(s.Hint, "ticketproxy login") {
			r.Errorf("the hint of a dead account does not name login: %+v", s)
		}
	}
	r.login(s.Generation + 1)
	await(r.T, r.patience(), "the login lets the running process serve", func() bool {
		a, err := r.proxy.request(issuerAccount)
		if err != nil || !a.ok() && a.code != want {
			r.Fatalf("after a login: %v, %+v, want 503 %s, then 2xx", err, a, want)
		}
		return a.ok()
	})
}

// mustGet makes a request and expects a 503 with the code.
func (r *issuerRun) mustGet(code string) {
	r.Helper()
	a, err := r.proxy.request(issuerAccount)
	if err != nil || a.status != http.StatusServiceUnavailable || a.code != code {
		r.Errorf("request: %v, %+v, want 503 %s", err, a, code)
	}
}

// loadTime is how long the apps make requests.
func (r *issuerRun) loadTime() time.Duration { return min(3*r.accessLifetime, 30*time.Second) }

// patience is how long to wait for what happens when the access token expires.
func (r *issuerRun) patience() time.Duration { return r.accessLifetime + time.Minute }

// An issuerAPI serves those who have an access token that the issuer calls active.
type issuerAPI struct {
	*testing.T
	issuer *foreignIssuer

	mu      sync.Mutex
	known   map[string]introspected // by access token
	lasting time.Duration           // how long the issuer's statement is believed; 0 until the token expires
	refused int
}

// An introspected is the issuer's statement about an access token.
type introspected struct{ asked, expiry time.Time }

// believe has the API ask again about a token after a time, or once for 0. It returns how
// many requests were refused before.
func (a *issuerAPI) believe(lasting time.Duration) (refused int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	refused, a.lasting, a.refused = a.refused, lasting, 0
	return refused
}

func (a *issuerAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !a.active(token) {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// tokens returns how many access tokens the API has seen.
func (a *issuerAPI) tokens() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.known)
}

// active reports whether a token serves.
func (a *issuerAPI) active(token string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	is, known := a.known[token]
	if !known || a.lasting > 0 && time.Since(is.asked) > a.lasting {
		is = introspected{asked: time.Now(), expiry: a.issuer.introspect(a.T, token)}
		a.known[token] = is
	}
	if time.Now().Before(is.expiry) {
		return true
	}
	a.refused++
	return false
}
