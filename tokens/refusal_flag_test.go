package tokens_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// TestReadersFlag tests that readers whose token was revoked are healed by one refresh,
// which their flag causes, and raise the flag once each.
func TestReadersFlag(t *testing.T) {
	for _, mute := range []bool{false, true} {
		t.Run(fmt.Sprint("mute ", mute), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, s := newIssuer(72*time.Hour), &split{mute: mute}
				i.Latency = 300 * time.Millisecond
				refresher := newRefresher(i, s, i.seed())
				start(t, refresher)
				var all []*tokens.Reader
				for range 10 {
					all = append(all, startReader(t, s))
				}
				time.Sleep(4 * time.Hour)
				old := mustRead(t, all[0], i)
				i.revokeAccess()
				var apps sync.WaitGroup
				for _, r := range all {
					for range 5 {
						apps.Go(func() {
							began := time.Now()
							token, err := r.Renew(t.Context(), old)
							if err != nil || !i.good(token.AccessToken) {
								t.Errorf("token of generation %d, %v after %v; status %+v", token.Generation, err, time.Since(began), r.Status())
							}
						})
					}
				}
				apps.Wait()
				if asked, _, _ := i.counts(); asked != 2 {
					t.Errorf("%d token requests, want the first and one", asked)
				}
				if n := s.raises.Load(); n != 10 {
					t.Errorf("the flag was raised %d times by 10 readers", n)
				}
				synctest.Wait() // readers may have the token before the refresher itself uses it
				mustServe(t, refresher, i)
			})
		})
	}
}

// TestReaderWithoutFlag tests that a reader which may not raise the flag waits, gives up
// after 5 s, lets later requests through at once, and takes the next token when it comes.
func TestReaderWithoutFlag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(72*time.Hour), new(split)
		s.denied.Store(true)
		seed := i.seed()
		refresher := newRefresher(i, s, seed)
		start(t, refresher)
		r := startReader(t, s)
		time.Sleep(time.Hour)
		old := mustRead(t, r, i)
		i.revokeAccess()
		s.loads.Store(0)
		began := time.Now()
		if token, err := r.Renew(t.Context(), old); err != nil || token.Generation != old.Generation {
			t.Errorf("token of generation %d, %v", token.Generation, err)
		}
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("waited %v", waited)
		}
		if n := s.loads.Load(); n > 4 {
			t.Errorf("%d reads in the wait", n)
		}
		s.loads.Store(0)
		for range 600 {
			began := time.Now()
			if token, err := r.Renew(t.Context(), old); err != nil || token.Generation != old.Generation || time.Since(began) > 0 {
				t.Fatalf("token of generation %d, %v after %v", token.Generation, err, time.Since(began))
			}
			time.Sleep(time.Second)
		}
		if n := s.loads.Load(); n > 30 {
			t.Errorf("%d reads in ten minutes of refusals", n)
		}
		if st := r.Status(); !st.Usable {
			t.Errorf("status %+v", st)
		}
		if _, err := refresher.Renew(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		mustRead(t, r, i)
	})
}

// TestFlagsCostABoundedNumberOfRefreshes tests that whoever raises the flag for each new
// generation causes no more refreshes than an API that refuses every token, and that flags
// for other generations cause none.
func TestFlagsCostABoundedNumberOfRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(72*time.Hour), new(split)
		seed := i.seed()
		var all []*tokens.Refresher
		for k := range 3 {
			r := newRefresher(i, s, seed, func(c *tokens.Config) { c.Holder = fmt.Sprint(k) })
			start(t, r)
			all = append(all, r)
		}
		time.Sleep(time.Hour)
		redeemed := func() int { _, n, _ := i.counts(); return n - 1 }
		for _, wrong := range []uint64{0, 2, 1 << 63, 1<<64 - 1} {
			s.flag(wrong)
			time.Sleep(time.Minute)
		}
		if n := redeemed(); n != 0 {
			t.Fatalf("%d refreshes for flags of other generations", n)
		}
		for range 24 * 3600 {
			s.flag(all[0].Status().Generation)
			time.Sleep(time.Second)
		}
		if n := redeemed(); n < 24*11 || n > 8+24*12+2 {
			t.Errorf("%d refreshes in a day", n)
		}
		if st := all[1].Status(); st.RefusalPause != 5*time.Minute || !st.Usable {
			t.Errorf("status %+v", st)
		}
	})
}

// TestFlagWaitsForThePause tests that a flag which is raised in a refusal pause is obeyed
// after it, though it is raised only once, and that an older flag does not replace it.
func TestFlagWaitsForThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(72*time.Hour), new(split)
		mustServe(t, newRefresher(i, s, i.seed()), i)
		put(t, &s.Store, func(rec *tokens.Record) { rec.RefusalPause, rec.Generation = time.Minute, 5 })
		r := newRefresher(i, s, secret.String{})
		start(t, r)
		time.Sleep(10 * time.Second)
		s.flag(5)
		s.flag(4)
		time.Sleep(30 * time.Second)
		if asked, _, _ := i.counts(); asked != 1 {
			t.Errorf("%d token requests in the pause", asked)
		}
		time.Sleep(30 * time.Second)
		if asked, _, _ := i.counts(); asked != 2 || r.Status().Generation != 6 {
			t.Errorf("%d token requests after the pause, generation %d", asked, r.Status().Generation)
		}
	})
}

// TestFlagBeforeTheStart tests that a flag that is older than the refresher is obeyed.
func TestFlagBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(72*time.Hour), new(split)
		mustServe(t, newRefresher(i, s, i.seed()), i)
		time.Sleep(time.Hour)
		r := newRefresher(i, s, secret.String{})
		start(t, r)
		synctest.Wait()
		s.flag(1)
		time.Sleep(time.Second)
		if got := mustServe(t, r, i); got.Generation != 2 {
			t.Errorf("generation %d", got.Generation)
		}
	})
}
