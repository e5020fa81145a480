package tokens_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
)

// mustHand returns a handout, whose token must be good.
func mustHand(t *testing.T, r interface {
	TokenFor(ctx context.Context, least time.Duration) (tokens.Handout, error)
}, i *issuer, least time.Duration) tokens.Handout {
	t.Helper()
	h, err := r.TokenFor(t.Context(), least)
	if err != nil || !i.good(h.AccessToken) {
		t.Fatalf("token of generation %d, good: %v, error %v", h.Generation, i.good(h.AccessToken), err)
	}
	return h
}

func TestTokenForRefreshesWhenLessIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		i.Latency = time.Second
		r := newRefresher(i, new(memory.Store), i.seed())
		start(t, r)
		first := mustHand(t, r, i, 0)
		if left := time.Until(first.Expiry); left < 59*time.Minute || left > time.Hour {
			t.Errorf("%v are left of a fresh token", left)
		}
		time.Sleep(20 * time.Minute)
		if h := mustHand(t, r, i, 30*time.Minute); h.Generation != first.Generation || !h.Expiry.Equal(first.Expiry) {
			t.Errorf("a token with enough time left was replaced: generation %d", h.Generation)
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				h := mustHand(t, r, i, 50*time.Minute)
				if h.Generation != first.Generation+1 || time.Until(h.Expiry) < 50*time.Minute {
					t.Errorf("generation %d, %v left", h.Generation, time.Until(h.Expiry))
				}
			})
		}
		wg.Wait()
		if asked, _, _ := i.counts(); asked != 2 {
			t.Errorf("%d token requests, want 2", asked)
		}
	})
}

// A process that has just started, and is not run, looks at what is left of the stored token.
func TestTokenForOfAStoredToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(memory.Store)
		first := mustHand(t, newRefresher(i, s, i.seed()), i, 0)
		time.Sleep(20 * time.Minute)
		for _, test := range []struct {
			least      time.Duration
			generation uint64
		}{{30 * time.Minute, first.Generation}, {50 * time.Minute, first.Generation + 1}} {
			if h := mustHand(t, newRefresher(i, s, secret.String{}), i, test.least); h.Generation != test.generation {
				t.Errorf("at least %v: generation %d, want %d", test.least, h.Generation, test.generation)
			}
		}
	})
}

// A caller that wants more than a fresh token has gets what there is, and cannot make each
// of its requests a refresh.
func TestTokenForCostsABoundedNumberOfRefreshes(t *testing.T) {
	for _, test := range []struct {
		lifetime, least time.Duration
		most            int // refreshes in an hour
	}{
		{time.Hour, 2 * time.Hour, 12},
		{time.Hour, 59 * time.Minute, 12},
		{72 * time.Hour, 1000 * time.Hour, 12},
		{8 * time.Second, time.Hour, 4 * 450},
	} {
		t.Run(test.lifetime.String()+" "+test.least.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newIssuer(test.lifetime)
				r := newRefresher(i, new(memory.Store), i.seed())
				start(t, r)
				step := min(test.lifetime/100, time.Second)
				for began := time.Now(); time.Since(began) < time.Hour; time.Sleep(step) {
					h := mustHand(t, r, i, test.least)
					if left := time.Until(h.Expiry); left < test.lifetime/2 && left < test.lifetime-6*time.Minute {
						t.Fatalf("%v left of %v", left, test.lifetime)
					}
				}
				if _, redeemed, _ := i.counts(); redeemed-1 > test.most {
					t.Errorf("%d refreshes in an hour, want at most %d", redeemed-1, test.most)
				}
			})
		})
	}
}

func TestTokenForServesWhatIsHeldInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		r := newRefresher(i, new(memory.Store), i.seed())
		start(t, r)
		first := mustHand(t, r, i, 0)
		time.Sleep(20 * time.Minute)
		i.mu.Lock()
		i.fault = func(int) (error, error) { return &tokens.IssuerError{Class: tokens.Throttled, Status: 503}, nil }
		i.mu.Unlock()
		before, _, _ := i.counts()
		for range 100 {
			if h := mustHand(t, r, i, 50*time.Minute); h.Generation != first.Generation {
				t.Errorf("generation %d", h.Generation)
			}
			time.Sleep(time.Second)
		}
		if asked, _, _ := i.counts(); asked-before > 12 {
			t.Errorf("%d token requests in 100 s of an outage", asked-before)
		}
	})
}

// endless is an issuer that does not say how long its access tokens live.
type endless struct{ *issuer }

func (e endless) Refresh(ctx context.Context, token secret.String) (tokens.Grant, error) {
	grant, err := e.issuer.Refresh(ctx, token)
	grant.Expiry = time.Time{}
	return grant, err
}

func TestTokenForWithoutAnExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		r := newRefresher(endless{i}, new(memory.Store), i.seed())
		start(t, r)
		for range 3 {
			if h, err := r.TokenFor(t.Context(), time.Hour); err != nil || !h.Expiry.IsZero() || h.Generation != 1 {
				t.Errorf("generation %d, expiry %v, error %v", h.Generation, h.Expiry, err)
			}
			time.Sleep(time.Hour)
		}
	})
}

func TestReplaceIsARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(72 * time.Hour)
		r := newRefresher(i, new(memory.Store), i.seed())
		start(t, r)
		first := mustHand(t, r, i, 0)
		replace := func(refused secret.String) tokens.Handout {
			t.Helper()
			h, err := r.Replace(t.Context(), refused, 0)
			if err != nil || !i.good(h.AccessToken) {
				t.Fatalf("generation %d, error %v", h.Generation, err)
			}
			return h
		}
		if h := replace(secret.New("of nobody")); h.Generation != first.Generation {
			t.Errorf("a token that was never handed out caused generation %d", h.Generation)
		}
		second := replace(first.AccessToken)
		if second.Generation != first.Generation+1 {
			t.Errorf("the current token was refused: generation %d", second.Generation)
		}
		for range 10 {
			if h := replace(first.AccessToken); h.Generation != second.Generation {
				t.Errorf("a token that is not current any more caused generation %d", h.Generation)
			}
		}
		before, _, _ := i.counts()
		for latest := second; time.Now().Before(second.Expiry.Add(-48 * time.Hour)); time.Sleep(10 * time.Second) {
			latest = replace(latest.AccessToken) // whatever it gets
		}
		if asked, _, _ := i.counts(); asked-before > 24*12+8 {
			t.Errorf("%d refreshes in a day", asked-before)
		}
	})
}

func TestReaderHandsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		s := new(split)
		start(t, newRefresher(i, s, i.seed()))
		r := startReader(t, s)
		first := mustHand(t, r, i, 2*time.Hour)
		if left := time.Until(first.Expiry); left < 59*time.Minute || left > time.Hour {
			t.Errorf("%v are left of a fresh token", left)
		}
		if h, err := r.Replace(t.Context(), secret.New("of nobody"), 0); err != nil || h.Generation != first.Generation {
			t.Errorf("generation %d, error %v", h.Generation, err)
		}
		h, err := r.Replace(t.Context(), first.AccessToken, 0)
		if err != nil || h.Generation != first.Generation+1 || s.raises.Load() != 1 {
			t.Errorf("generation %d, error %v, %d flags", h.Generation, err, s.raises.Load())
		}
	})
}
