package tokens_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
)

// call is a request whose token the API refuses, and whose replay it accepts
// when heals is set. It returns whether a refresh was made for it.
func call(t *testing.T, r *tokens.Refresher, heals bool) (renewed bool) {
	t.Helper()
	token, err := r.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := r.Renew(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if renewed = fresh.Generation != token.Generation; renewed && !heals {
		r.Refused(fresh)
	}
	return renewed
}

// An API that refuses each token at its second use, or at any, must not make
// every request a refresh.
func TestRefusedTokensCostABoundedNumberOfRefreshes(t *testing.T) {
	for name, heals := range map[string]bool{"401 then 200": true, "always 401": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newIssuer(72 * time.Hour)
				r := newRefresher(i, new(memory.Store), i.seed())
				start(t, r)
				if !call(t, r, heals) {
					t.Error("the first refusal causes no refresh")
				}
				redeemed := func() int { _, n, _ := i.counts(); return n - 1 } // the seed's
				for range 100 {
					time.Sleep(time.Second)
					call(t, r, heals)
				}
				if n := redeemed(); n < 5 || n > 8 {
					t.Errorf("%d refreshes in 100 s", n)
				}
				for range 24 * 360 {
					time.Sleep(10 * time.Second)
					call(t, r, heals)
				}
				if n := redeemed(); n > 8+24*12+2 {
					t.Errorf("%d refreshes in a day", n)
				}
				if st := r.Status(); st.RefusalPause != 5*time.Minute || !st.Usable {
					t.Errorf("status %+v", st)
				}
			})
		})
	}
}

// A pause shrinks with each token that the API accepts for long enough, and a
// token that it accepted for long is replaced at once.
func TestRefusalPauseShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		r := newRefresher(i, new(memory.Store), i.seed())
		start(t, r)
		for range 60 {
			call(t, r, false)
			time.Sleep(time.Second)
		}
		before := r.Status().RefusalPause
		if before < 30*time.Second {
			t.Fatalf("pause of %v", before)
		}
		generation := r.Status().Generation
		for r.Status().Generation < generation+1 { // the first was refused while it was fresh
			time.Sleep(time.Minute)
		}
		if pause := r.Status().RefusalPause; pause != 2*before {
			t.Errorf("pause of %v after %v", pause, before)
		}
		for r.Status().Generation < generation+2 { // the second was accepted until its planned end
			time.Sleep(time.Minute)
		}
		if pause := r.Status().RefusalPause; pause != before/2 {
			t.Errorf("pause of %v after %v", pause, 2*before)
		}
		time.Sleep(20 * time.Minute)
		if !call(t, r, true) {
			t.Error("a token that was accepted for long is not replaced when it is refused")
		}
	})
}

// The pause is the account's: another replica and a restart keep to it.
func TestRefusalPauseIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(72*time.Hour), new(memory.Store)
		seed := i.seed()
		var all []*tokens.Refresher
		for _, holder := range []string{"first", "second", "third"} {
			r := newRefresher(i, s, seed, func(c *tokens.Config) { c.Holder = holder })
			start(t, r)
			all = append(all, r)
		}
		for range 300 {
			for _, r := range all {
				call(t, r, false)
			}
			time.Sleep(time.Second)
		}
		restarted := newRefresher(i, s, seed, func(c *tokens.Config) { c.Holder = "fourth" })
		start(t, restarted)
		if call(t, restarted, false) {
			t.Error("a restart ends the pause")
		}
		if _, redeemed, _ := i.counts(); redeemed > 11 {
			t.Errorf("%d refreshes in five minutes", redeemed)
		}
	})
}

// A refusal of a token that is due for a refresh waits for no pause.
func TestRefusalPauseDoesNotPutOffADueRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(memory.Store)
		seed := i.seed()
		mustServe(t, newRefresher(i, s, seed), i)
		put(t, s, func(rec *tokens.Record) { rec.RefusalPause = 5 * time.Minute })
		r := newRefresher(i, s, seed) // which does not run, and so does not refresh ahead
		token := mustServe(t, r, i)
		time.Sleep(50 * time.Second)
		if fresh, err := r.Renew(t.Context(), token); err != nil || fresh.Generation != token.Generation+1 {
			t.Errorf("token of generation %d, %v", fresh.Generation, err)
		}
	})
}

// An API that refuses every fresh token is reported: once in the log, and in the status
// until it has accepted one for long enough.
func TestAPIThatRefusesNewTokensIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		core, logged := observer.New(zap.WarnLevel)
		r := newRefresher(i, new(memory.Store), i.seed(), func(c *tokens.Config) { c.Log = zap.New(core) })
		start(t, r)
		mustServe(t, r, i)
		warned := func() bool {
			return strings.Contains(strings.Join(r.Status().Warnings, "\n"), "the API refuses new tokens since 2000-01-01T00:30:00Z: check")
		}
		time.Sleep(30 * time.Minute)
		call(t, r, true) // a token that was accepted for long, not a fresh one
		if warned() {
			t.Error("warned of one refused token")
		}
		for range 100 {
			call(t, r, false)
			if !warned() {
				t.Fatalf("warnings %q", r.Status().Warnings)
			}
			time.Sleep(time.Second)
		}
		if n := logged.FilterMessage("the API refuses new access tokens").Len(); n != 1 {
			t.Errorf("logged %d times", n)
		}
		time.Sleep(2 * time.Hour)
		if st := r.Status(); len(st.Warnings) != 0 {
			t.Errorf("warnings %q", st.Warnings)
		}
	})
}
