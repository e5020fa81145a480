package policy

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// flood has so many clients of each caller send for a minute, and returns how many requests of
// each were admitted. What was admitted takes as long as took says.
func flood(t *testing.T, p *Policy, clients int, took time.Duration, names ...string) map[string]int {
	t.Helper()
	var mu sync.Mutex
	counts := map[string]int{}
	var all sync.WaitGroup
	end := time.Now().Add(time.Minute)
	for i := range clients {
		caller := names[i%len(names)]
		random := rand.New(rand.NewPCG(1, uint64(i)))
		all.Go(func() {
			for time.Now().Before(end) {
				release, refused := p.Admit(caller, "park")
				if refused == nil {
					mu.Lock()
					counts[caller]++
					mu.Unlock()
					time.Sleep(took)
					release()
				} else if refused.Wait <= 0 || refused.Detail == "" {
					t.Errorf("%+v", refused)
				}
				time.Sleep(time.Duration(random.Int64N(int64(200 * time.Millisecond))))
			}
		})
	}
	all.Wait()
	return counts
}

// near fails the test unless a count is within 5 % of what is wanted.
func near(t *testing.T, what string, got, want int) {
	t.Helper()
	if float64(got) < 0.95*float64(want) || float64(got) > 1.05*float64(want) {
		t.Errorf("%s: %d in a minute, want %d", what, got, want)
	}
}

func TestRateUnderConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policyOf(t, `callers: {a: {uid: 1, rate: {per: second, requests: 20}}}`, nil)
		near(t, "caller", flood(t, p, 200, 0, "a")["a"], 1200)
	})
}

func TestAccountRateOverCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policyOf(t, `
callers: {a: {uid: 1}, b: {uid: 2}, c: {uid: 3, rate: {per: second, requests: 1}}}
limits: {park: {per: minute, requests: 1200}}
`, nil)
		counts := flood(t, p, 201, 0, "a", "b", "c")
		near(t, "account", counts["a"]+counts["b"]+counts["c"], 1200)
		if counts["a"] < 200 || counts["b"] < 200 || counts["c"] > 61 || counts["c"] < 10 {
			t.Errorf("%v", counts)
		}
	})
}

// TestRefusalCostsNothing tests that a request that one bound refuses takes no token from the
// other.
func TestRefusalCostsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policyOf(t, `
callers:
  slow: {uid: 1, rate: {per: minute, requests: 1}}
  fast: {uid: 2, rate: {per: minute, requests: 60, burst: 10}}
limits: {park: {per: minute, requests: 60, burst: 5}}
`, nil)
		mustAdmit(t, p, "slow", "park")
		for range 1000 {
			mustRefuse(t, p, "slow", "park", CallerRate)
		}
		for range 4 { // the account's burst is still there
			mustAdmit(t, p, "fast", "park")
		}
		for range 1000 {
			mustRefuse(t, p, "fast", "park", AccountRate)
		}
		for range 6 { // and the caller's
			mustAdmit(t, p, "fast", "other")
		}
		refused := mustRefuse(t, p, "fast", "other", CallerRate)
		if refused.Wait.Round(time.Millisecond) != time.Second {
			t.Errorf("wait %v", refused.Wait)
		}
	})
}

// TestManyRefusalsStarveNobody tests that callers who are refused all the time take nothing from
// the rate.
func TestManyRefusalsStarveNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policyOf(t, `
callers: {a: {uid: 1, rate: {per: second, requests: 1}}, b: {uid: 2}}
limits: {park: {per: second, requests: 20}}
`, nil)
		counts := flood(t, p, 400, 0, "a", "b")
		near(t, "account", counts["a"]+counts["b"], 1200)
	})
}

func mustAdmit(t *testing.T, p *Policy, caller, account string) func() {
	t.Helper()
	release, refused := p.Admit(caller, account)
	if refused != nil {
		t.Errorf("%s is refused: %+v", caller, refused)
	}
	return release
}

func mustRefuse(t *testing.T, p *Policy, caller, account string, reason Reason) *Refusal {
	t.Helper()
	release, refused := p.Admit(caller, account)
	if refused == nil {
		t.Fatalf("%s is admitted, want %s", caller, reason)
	}
	release()
	if refused.Reason != reason || refused.Wait <= 0 {
		t.Errorf("%+v, want %s", refused, reason)
	}
	return refused
}

// TestWait tests that a request is admitted after the wait that was told, and not before.
func TestWait(t *testing.T) {
	t.Parallel()
	for _, r := range []string{
		"{per: second, requests: 20}", "{per: second, requests: 3, burst: 1}", "{per: minute, requests: 7, burst: 3}", "{per: day, requests: 1}",
		"{per: hour, requests: 1000000000, burst: 1}",
	} {
		synctest.Test(t, func(t *testing.T) {
			p := policyOf(t, "callers: {a: {uid: 1, rate: "+r+"}}", nil)
			for range 20 {
				for range 1000 {
					if _, refused := p.Admit("a", "park"); refused != nil {
						break
					}
				}
				refused := mustRefuse(t, p, "a", "park", CallerRate)
				if early := refused.Wait - 2*time.Millisecond; early > 0 {
					time.Sleep(early)
					mustRefuse(t, p, "a", "park", CallerRate)
					time.Sleep(2 * time.Millisecond)
				} else {
					time.Sleep(refused.Wait)
				}
				mustAdmit(t, p, "a", "park")
			}
		})
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const text = `
callers: {a: {uid: 1}, b: {uid: 2}}
limits:
  park: {concurrent: 3}
`
		p := policyOf(t, text, nil)
		first := mustAdmit(t, p, "a", "park")
		mustAdmit(t, p, "b", "park")
		mustAdmit(t, p, "a", "park")
		refused := mustRefuse(t, p, "b", "park", AccountConcurrent)
		if want := "account park has 3 requests in flight, and may have 3"; refused.Detail != want || refused.Wait.Round(time.Millisecond) != time.Second {
			t.Errorf("%+v", refused)
		}
		mustAdmit(t, p, "b", "shop")
		first()
		first() // has no further effect
		second := mustAdmit(t, p, "b", "park")
		mustRefuse(t, p, "a", "park", AccountConcurrent)

		next := policyOf(t, text+"  shop: {heed: true}\n", p)
		mustRefuse(t, next, "a", "park", AccountConcurrent)
		second()
		mustAdmit(t, next, "a", "park")
		mustRefuse(t, p, "a", "park", AccountConcurrent)
	})
}

func TestConcurrentUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policyOf(t, `{callers: {a: {uid: 1}}, limits: {park: {concurrent: 20}}}`, nil)
		var inFlight, most atomic.Int64
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				for range 50 {
					if release, refused := p.Admit("a", "park"); refused == nil {
						n := inFlight.Add(1)
						for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
						}
						time.Sleep(10 * time.Millisecond)
						inFlight.Add(-1)
						release()
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		all.Wait()
		if most.Load() != 20 {
			t.Errorf("%d requests in flight", most.Load())
		}
	})
}

func TestHeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const text = `
callers: {a: {uid: 1}, b: {uid: 2}}
limits: {park: {heed: true}, shop: {concurrent: 5}}
`
		p := policyOf(t, text, nil)
		p.Heed("park", time.Now().Add(time.Minute))
		p.Heed("park", time.Now().Add(time.Second)) // shortens nothing
		p.Heed("shop", time.Now().Add(time.Minute)) // did not ask for it
		p.Heed("none", time.Now().Add(time.Minute))
		for _, caller := range []string{"a", "b"} {
			if refused := mustRefuse(t, p, caller, "park", AccountHeld); refused.Wait != time.Minute {
				t.Errorf("%+v", refused)
			}
			mustAdmit(t, p, caller, "shop")
			mustAdmit(t, p, caller, "none")
		}
		time.Sleep(59 * time.Second)
		p = policyOf(t, text, p)
		mustRefuse(t, p, "a", "park", AccountHeld)
		time.Sleep(time.Second)
		mustAdmit(t, p, "a", "park")
		p.Heed("park", time.Now().Add(1000*time.Hour))
		if refused := mustRefuse(t, p, "a", "park", AccountHeld); refused.Wait != 24*time.Hour {
			t.Errorf("%+v", refused)
		}
		p.Heed("park", time.Time{})
		mustRefuse(t, p, "a", "park", AccountHeld)
	})
}

// TestReloadKeepsCounters tests that a new file gives nobody whose rate is the same a new burst.
func TestReloadKeepsCounters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		text := func(a, b, park int) string {
			return fmt.Sprintf(`
callers:
  a: {uid: 1, rate: {per: hour, requests: %d}}
  b: {uid: 2, rate: {per: hour, requests: %d}}
  c: {uid: 3}
limits: {park: {per: hour, requests: %d, burst: 10}}
`, a, b, park)
		}
		p := policyOf(t, text(1, 1, 1), nil)
		mustAdmit(t, p, "a", "x")
		mustAdmit(t, p, "b", "x")
		for range 10 {
			mustAdmit(t, p, "c", "park")
		}
		p = policyOf(t, text(1, 2, 1), p)
		mustRefuse(t, p, "a", "x", CallerRate)
		mustAdmit(t, p, "b", "x") // whose rate has changed
		mustRefuse(t, p, "c", "park", AccountRate)
		p = policyOf(t, text(1, 2, 2), p)
		mustAdmit(t, p, "c", "park")
	})
}

func TestDetails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policyOf(t, `
callers: {a: {uid: 1, rate: {per: minute, requests: 1}}, b: {uid: 2}}
limits: {park: {per: second, requests: 20, burst: 1, heed: true}}
`, nil)
		mustAdmit(t, p, "a", "park")
		if got := mustRefuse(t, p, "b", "park", AccountRate).Detail; got != "all callers together may send account park 20 requests per second, and 1 at once" {
			t.Error(got)
		}
		p.Heed("park", time.Now().Add(2*time.Minute))
		refused := mustRefuse(t, p, "a", "park", CallerRate)
		if refused.Detail != "caller a may send 1 request per minute, and 1 at once" || refused.Wait != 2*time.Minute {
			t.Errorf("%+v", refused)
		}
	})
}

func BenchmarkAdmit(b *testing.B) {
	p := policyOf(b, `
callers: {a: {uid: 1, rate: {per: second, requests: 1000000000}}, b: {uid: 2}}
limits: {park: {per: second, requests: 1000000000, concurrent: 1000}}
`, nil)
	for name, c := range map[string][2]string{"no limits": {"b", "x"}, "rate": {"a", "x"}, "all": {"a", "park"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				release, _ := p.Admit(c[0], c[1])
				release()
			}
		})
	}
}
