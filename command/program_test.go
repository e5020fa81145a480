package command

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/sandbox"
	"ticketproxy/server"
)

func TestDemoAnswersFromAllThree(t *testing.T) {
	var out lockedBuffer
	p := &Env{Stdout: &out, Stderr: &out, Network: server.Network{Listen: new(netListener).listen}}
	if err := Run(t.Context(), p, []string{"demo", "--once"}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if n := strings.Count(out.String(), "200 OK"); n != 3 {
		t.Errorf("%d answers:\n%s", n, out.String())
	}
}

func TestColdStartUnderLoadAsksOncePerAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{ReuseDetection: true, Rotate: true})
		for _, p := range f.sandbox.Providers() {
			p.SetFaults(sandbox.Faults{SlowBeforeCommit: time.Second})
		}
		f.serve()
		var wg sync.WaitGroup
		for name := range ports() {
			for range 500 {
				wg.Go(func() {
					if res, body, err := f.ask(name); err != nil || res.StatusCode != http.StatusOK {
						t.Errorf("%s: %v %v %s", name, res, err, body)
					}
				})
			}
		}
		wg.Wait()
		for _, p := range f.sandbox.Providers() {
			if c := p.Counters(); c.TokenRequests != 1 || c.APIUnauthorized != 0 {
				t.Errorf("%s: %+v", p.Name, c)
			}
		}
	})
}

func TestTenThousandRequestsOverTwentyLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{AccessLifetime: 3 * time.Second, ReuseDetection: true, Rotate: true})
		for _, p := range f.sandbox.Providers() {
			p.SetFaults(sandbox.Faults{SlowBeforeCommit: 100 * time.Millisecond, SlowAfterCommit: 100 * time.Millisecond})
		}
		f.serve()
		names := []string{"socialboards", "openticket", "ticketpark"}
		for _, name := range names {
			f.mustAnswer(name)
		}
		for n := range 10_000 {
			f.mustAnswer(names[n%3])
			time.Sleep(6 * time.Millisecond)
		}
		f.stop()
		for _, p := range f.sandbox.Providers() {
			c := p.Counters()
			if c.Redemptions < 20 || c.Redemptions != c.TokenRequests || c.MaxRedemptions != 1 || c.Reuses != 0 {
				t.Errorf("%s: %+v", p.Name, c)
			}
			if p.Name != "openticket" && c.APIUnauthorized != 0 { // openticket ends the old access token at once
				t.Errorf("%s: an API request was answered 401: %+v", p.Name, c)
			}
		}
	})
}

func TestRestartWithTheSpentSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{AccessLifetime: 10 * time.Second, ReuseDetection: true, Rotate: true})
		for range 4 {
			f.serve()
			for name := range ports() {
				f.mustAnswer(name)
			}
			time.Sleep(15 * time.Second)
			f.stop()
			time.Sleep(15 * time.Second)
		}
		for _, p := range f.sandbox.Providers() {
			if c := p.Counters(); c.Reuses != 0 || c.Redemptions < 4 {
				t.Errorf("%s: %+v", p.Name, c)
			}
		}
	})
}

func TestIssuerDownForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{AccessLifetime: time.Minute})
		f.serve()
		f.mustAnswer("ticketpark")
		down := f.sandbox.Ticketpark
		down.SetFaults(sandbox.Faults{Unavailable: sandbox.UntilOff})
		before := down.Counters().TokenRequests

		for start := time.Now(); time.Since(start) < 55*time.Second; time.Sleep(time.Second) {
			f.mustAnswer("ticketpark")
		}
		time.Sleep(10 * time.Second)
		for start := time.Now(); time.Since(start) < 5*time.Minute; time.Sleep(300 * time.Millisecond) {
			res, body, err := f.ask("ticketpark")
			if err != nil || res.StatusCode != http.StatusServiceUnavailable ||
				res.Header.Get("Ticketproxy-Error") != "token_unavailable" || res.Header.Get("Retry-After") == "" {
				t.Fatalf("%v %v %s", res, err, body)
			}
			if seconds, _ := strconv.Atoi(res.Header.Get("Retry-After")); seconds > 3 {
				t.Errorf("Retry-After: %d", seconds)
			}
		}
		if asked := down.Counters().TokenRequests - before; asked > 250 {
			t.Errorf("%d token requests in six minutes", asked)
		}
		if code, body := f.admin("/readyz?verbose"); code != http.StatusServiceUnavailable || !strings.Contains(body, "ticketpark: unavailable") {
			t.Errorf("readyz: %d %s", code, body)
		}
		f.mustAnswer("socialboards")

		down.SetFaults(sandbox.Faults{})
		up := time.Now()
		f.mustAnswer("ticketpark") // waits for the next token request
		if waited := time.Since(up); waited > 3*time.Second {
			t.Errorf("the first answer came after %v", waited)
		}
		if code, body := f.admin("/readyz?verbose"); code != http.StatusOK {
			t.Errorf("readyz: %d %s", code, body)
		}
	})
}

func TestRevokedTokenIsReplacedTransparently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{ReuseDetection: true, Rotate: true})
		f.serve()
		for name := range ports() {
			f.mustAnswer(name)
		}
		for _, p := range f.sandbox.Providers() {
			p.RevokeAccess()
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if res, body, err := f.ask(p.Name); err != nil || res.StatusCode/100 != 2 {
						t.Errorf("%s: %v %v %s", p.Name, res, err, body)
					}
				})
			}
			wg.Wait()
			if c := p.Counters(); c.TokenRequests != 2 {
				t.Errorf("%s: %+v", p.Name, c)
			}
		}
	})
}

func TestDeadAccountRequiresLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{AccessLifetime: time.Minute})
		f.serve()
		f.mustAnswer("openticket")
		f.sandbox.OpenTicket.RevokeAll()
		for range 100 {
			res, body, err := f.ask("openticket")
			if err != nil || res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Ticketproxy-Error") != "login_required" {
				t.Fatalf("%v %v %s", res, err, body)
			}
		}
		time.Sleep(time.Hour)
		if c := f.sandbox.OpenTicket.Counters(); c.TokenRequests > 2 {
			t.Errorf("token requests for a dead account: %+v", c)
		}
	})
}

// TestCanary runs the program with known secrets and every fault of the sandbox, and
// searches its whole output for the secrets.
func TestCanary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{AccessLifetime: 30 * time.Second, Rotate: true})
		f.serve()
		var output strings.Builder
		faults := []sandbox.Faults{
			{}, {HTML: 1}, {HalfBody: 1}, {Throttle: 1, RetryAfter: 1}, {Unavailable: 1}, {Redirect: 1}, {DropBeforeRead: 1}, {DropAfterCommit: 1}, {APIUnauthorized: 2},
		}
		for _, fault := range faults {
			for _, p := range f.sandbox.Providers() {
				p.SetFaults(fault)
				p.RevokeAccess()
				for range 2 {
					res, body, err := f.ask(p.Name)
					if err != nil {
						t.Fatal(err)
					}
					output.WriteString(res.Status + body)
					for key, values := range res.Header {
						output.WriteString(key + strings.Join(values, " "))
					}
					time.Sleep(20 * time.Second)
				}
				for _, path := range []string{"/status", "/metrics", "/readyz?verbose", "/startupz"} {
					_, body := f.admin(path)
					output.WriteString(body)
				}
			}
		}
		Status(t.Context(), f.env(), nil)
		f.stop()
		output.WriteString(f.output.String())

		secrets := []string{}
		for _, p := range f.sandbox.Providers() {
			secrets = append(secrets, p.ClientSecret, p.Password, f.seeds[p.Name])
		}
		files, err := os.ReadDir(f.dir + "/state")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(f.dir + "/state/" + file.Name())
			if err != nil {
				t.Fatal(err)
			}
			for _, field := range strings.Split(string(data), `"`) {
				if len(field) > 30 && !strings.Contains(field, ":") && !strings.Contains(field, " ") && !strings.Contains(field, "_at") {
					secrets = append(secrets, field)
				}
			}
		}
		if len(secrets) < 12 {
			t.Fatalf("only %d secrets were found to look for", len(secrets))
		}
		mustNotShow(t, "the program", output.String(), secrets...)
	})
}

// TestAppsOfEachVendorDoTheirOwnOAuth tests that an app's token requests are not forwarded,
// and that the answer has the vendor's format.
func TestAppsOfEachVendorDoTheirOwnOAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		f.serve()
		for name, members := range map[string]string{
			"socialboards": "access_token token_type expires_in refresh_token",
			"openticket":   "access_token token_type expires_in refresh_token refresh_token_expires_in info",
			"ticketpark":   "access_token token_type expires_in refresh_token scope",
		} {
			f.mustAnswer(name)
			for _, p := range f.sandbox.Providers() {
				if p.Name != name {
					continue
				}
				before := p.Counters()
				req, err := http.NewRequest(http.MethodPost, "http://"+ports()[name]+p.TokenPath, strings.NewReader("grant_type=refresh_token&refresh_token=theirs"))
				if err != nil {
					t.Fatal(err)
				}
				res, body, err := f.send(req)
				if err != nil || res.StatusCode != http.StatusOK {
					t.Fatalf("%s: %v %v", name, res, err)
				}
				for member := range strings.FieldsSeq(members) {
					if !strings.Contains(body, `"`+member+`":`) {
						t.Errorf("%s: no %s in %s", name, member, body)
					}
				}
				if after := p.Counters(); after.TokenRequests != before.TokenRequests || after.APIRequests != before.APIRequests {
					t.Errorf("%s: %+v", name, after)
				}
			}
		}
	})
}
