package main

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/proxy"
	"ticketproxy/sandbox"
)

func TestDemoAnswersFromAllThree(t *testing.T) {
	var out lockedBuffer
	p := &process{stdout: &out, stderr: &out, listen: new(netListener).listen}
	if err := run(t.Context(), p, []string{"demo", "--once"}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if n := strings.Count(out.String(), "200 OK"); n != 3 {
		t.Errorf("%d answers:\n%s", n, out.String())
	}
}

func TestColdStartUnderLoadAsksOncePerAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{ReuseDetection: true, Rotate: true})
		for _, p := range h.sandbox.Providers() {
			p.SetFaults(sandbox.Faults{SlowBeforeCommit: time.Second})
		}
		h.serve()
		var wg sync.WaitGroup
		for name := range ports() {
			for range 500 {
				wg.Go(func() {
					if res, body, err := h.ask(name); err != nil || res.StatusCode != http.StatusOK {
						t.Errorf("%s: %v %v %s", name, res, err, body)
					}
				})
			}
		}
		wg.Wait()
		for _, p := range h.sandbox.Providers() {
			if c := p.Counters(); c.TokenRequests != 1 || c.APIUnauthorized != 0 {
				t.Errorf("%s: %+v", p.Name, c)
			}
		}
	})
}

func TestTenThousandRequestsOverTwentyLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{AccessLifetime: 3 * time.Second, ReuseDetection: true, Rotate: true})
		for _, p := range h.sandbox.Providers() {
			p.SetFaults(sandbox.Faults{SlowBeforeCommit: 100 * time.Millisecond, SlowAfterCommit: 100 * time.Millisecond})
		}
		h.serve()
		names := []string{"socialboards", "openticket", "ticketpark"}
		for _, name := range names {
			h.mustAnswer(name)
		}
		for n := range 10_000 {
			h.mustAnswer(names[n%3])
			time.Sleep(6 * time.Millisecond)
		}
		h.stop()
		for _, p := range h.sandbox.Providers() {
			c := p.Counters()
			if c.Redemptions < 20 || c.Redemptions != c.TokenRequests || c.MaxRedemptions != 1 || c.Reuses != 0 {
				t.Errorf("%s: %+v", p.Name, c)
			}
			if p.Name != "openticket" && c.APIUnauthorized != 0 { // openticket ends the old access token at once
				t.Errorf("%s: an API request met a 401: %+v", p.Name, c)
			}
		}
	})
}

func TestRestartWithTheSpentSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{AccessLifetime: 10 * time.Second, ReuseDetection: true, Rotate: true})
		for range 4 {
			h.serve()
			for name := range ports() {
				h.mustAnswer(name)
			}
			time.Sleep(15 * time.Second)
			h.stop()
			time.Sleep(15 * time.Second)
		}
		for _, p := range h.sandbox.Providers() {
			if c := p.Counters(); c.Reuses != 0 || c.Redemptions < 4 {
				t.Errorf("%s: %+v", p.Name, c)
			}
		}
	})
}

func TestIssuerDownForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{AccessLifetime: time.Minute})
		h.serve()
		h.mustAnswer("ticketpark")
		down := h.sandbox.Ticketpark
		down.SetFaults(sandbox.Faults{Unavailable: sandbox.UntilOff})
		before := down.Counters().TokenRequests

		for began := time.Now(); time.Since(began) < 55*time.Second; time.Sleep(time.Second) {
			h.mustAnswer("ticketpark")
		}
		time.Sleep(10 * time.Second)
		for began := time.Now(); time.Since(began) < 5*time.Minute; time.Sleep(300 * time.Millisecond) {
			res, body, err := h.ask("ticketpark")
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
		if code, body := h.admin("/readyz?verbose"); code != http.StatusServiceUnavailable || !strings.Contains(body, "ticketpark: unavailable") {
			t.Errorf("readyz: %d %s", code, body)
		}
		h.mustAnswer("socialboards")

		down.SetFaults(sandbox.Faults{})
		up := time.Now()
		h.mustAnswer("ticketpark") // which waits for the next token request
		if waited := time.Since(up); waited > 3*time.Second {
			t.Errorf("the first answer came after %v", waited)
		}
		if code, body := h.admin("/readyz?verbose"); code != http.StatusOK {
			t.Errorf("readyz: %d %s", code, body)
		}
	})
}

func TestRevokedTokenIsHealedUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{ReuseDetection: true, Rotate: true})
		h.serve()
		for name := range ports() {
			h.mustAnswer(name)
		}
		for _, p := range h.sandbox.Providers() {
			p.RevokeAccess()
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if res, body, err := h.ask(p.Name); err != nil || res.StatusCode/100 != 2 {
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

func TestDeadAccountAsksForAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{AccessLifetime: time.Minute})
		h.serve()
		h.mustAnswer("openticket")
		h.sandbox.OpenTicket.RevokeAll()
		for range 100 {
			res, body, err := h.ask("openticket")
			if err != nil || res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Ticketproxy-Error") != "login_required" {
				t.Fatalf("%v %v %s", res, err, body)
			}
		}
		time.Sleep(time.Hour)
		if c := h.sandbox.OpenTicket.Counters(); c.TokenRequests > 2 {
			t.Errorf("a dead account is asked about: %+v", c)
		}
	})
}

// TestCanary plants known secrets everywhere, makes everything go wrong that
// the sandbox knows, and searches all that the program said.
func TestCanary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{AccessLifetime: 30 * time.Second, Rotate: true})
		h.serve()
		var said strings.Builder
		faults := []sandbox.Faults{
			{}, {HTML: 1}, {HalfBody: 1}, {Throttle: 1, RetryAfter: 1}, {Unavailable: 1}, {Redirect: 1}, {DropBeforeRead: 1}, {DropAfterCommit: 1}, {APIUnauthorized: 2},
		}
		for _, fault := range faults {
			for _, p := range h.sandbox.Providers() {
				p.SetFaults(fault)
				p.RevokeAccess()
				for range 2 {
					res, body, err := h.ask(p.Name)
					if err != nil {
						t.Fatal(err)
					}
					said.WriteString(res.Status + body)
					for key, values := range res.Header {
						said.WriteString(key + strings.Join(values, " "))
					}
					time.Sleep(20 * time.Second)
				}
				for _, path := range []string{"/status", "/metrics", "/readyz?verbose", "/startupz"} {
					_, body := h.admin(path)
					said.WriteString(body)
				}
			}
		}
		status(t.Context(), h.process(), nil)
		h.stop()
		said.WriteString(h.output.String())

		secrets := []string{}
		for _, p := range h.sandbox.Providers() {
			secrets = append(secrets, p.ClientSecret, p.Password, h.seeds[p.Name])
		}
		files, err := os.ReadDir(h.dir + "/state")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			data, err := os.ReadFile(h.dir + "/state/" + f.Name())
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
		mustNotShow(t, "the program", said.String(), secrets...)
	})
}

// TestAppsOfEachVendorDoTheirOwnOAuth holds that what an app sends to the token
// path goes nowhere, and that the answer has the vendor's form.
func TestAppsOfEachVendorDoTheirOwnOAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{})
		h.serve()
		for name, members := range map[string]string{
			"socialboards": "access_token token_type expires_in refresh_token",
			"openticket":   "access_token token_type expires_in refresh_token refresh_token_expires_in info",
			"ticketpark":   "access_token token_type expires_in refresh_token scope",
		} {
			h.mustAnswer(name)
			for _, p := range h.sandbox.Providers() {
				if p.Name != name {
					continue
				}
				before := p.Counters()
				req, err := http.NewRequest(http.MethodPost, "http://"+ports()[name]+p.TokenPath, strings.NewReader("grant_type=refresh_token&refresh_token=theirs"))
				if err != nil {
					t.Fatal(err)
				}
				res, body, err := h.send(req)
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

// The bodies that may be sent again take memory of one budget, however many
// listeners there are.
func TestListenersShareTheReplayBudget(t *testing.T) {
	t.Parallel()
	p := newHouse(t, sandbox.Options{}).process()
	c, err := p.configure()
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.assemble(c, p.logger(c))
	if err != nil {
		t.Fatal(err)
	}
	defer m.closeState()
	first := m.servers[0].server.Handler.(*proxy.Handler).Budget
	for _, l := range m.servers[1:] {
		if l.server.Handler.(*proxy.Handler).Budget != first || first == nil {
			t.Errorf("%s has a budget of its own", l.purpose())
		}
	}
}
