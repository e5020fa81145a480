package tokens_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
)

func newRefresher(
	i tokens.Issuer,
	s tokens.Store,
	seed secret.String,
	change ...func(*tokens.Config),
) *tokens.Refresher {
	c := tokens.Config{
		Account:  "park",
		Issuer:   i,
		Store:    s,
		Seed:     constant(seed),
		Rotation: tokens.RotationSingleUse,
		Holder:   "first",
	}
	for _, f := range change {
		f(&c)
	}
	return tokens.New(c)
}

func TestColdStartUnderLoadAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(10 * time.Minute)
		i.Reuse, i.Latency = true, 300*time.Millisecond
		r := newRefresher(i, new(memory.Store), i.seed())
		start(t, r)
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				token, err := r.Token(t.Context())
				if err != nil || !i.good(token.AccessToken) {
					t.Errorf("token %v, error %v", token, err)
				}
			})
		}
		wg.Wait()
		if asked, _, _ := i.counts(); asked != 1 {
			t.Errorf("%d token requests, want 1", asked)
		}
	})
}

func TestNoRequestWaitsOrFailsOverManyLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(4 * time.Second)
		i.Reuse, i.Latency = true, 200*time.Millisecond
		r := newRefresher(i, new(memory.Store), i.seed())
		stop := start(t, r)
		if _, err := r.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		for n := range 10_000 {
			before := time.Now()
			token, err := r.Token(t.Context())
			if err != nil || !i.good(token.AccessToken) {
				t.Fatalf("request %d: token %v, error %v", n, token, err)
			}
			if waited := time.Since(before); waited > 0 {
				t.Fatalf("request %d waited %v", n, waited)
			}
			time.Sleep(8 * time.Millisecond) // 20 lifetimes in all
		}
		stop()
		asked, redeemed, most := i.counts()
		if asked != redeemed || most != 1 {
			t.Errorf("%d token requests, %d redemptions, one token redeemed %d times", asked, redeemed, most)
		}
		if redeemed < 20 || redeemed > 40 {
			t.Errorf("%d redemptions in 20 lifetimes", redeemed)
		}
	})
}

func TestRestartGoesOnFromTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Minute)
		i.Reuse = true
		seed, s := i.seed(), new(memory.Store)
		for n := range 3 {
			r := newRefresher(i, s, seed)
			stop := start(t, r)
			time.Sleep(time.Minute)
			if token, err := r.Token(t.Context()); err != nil || !i.good(token.AccessToken) {
				t.Fatalf("start %d: token %v, error %v", n, token, err)
			}
			stop()
		}
		if _, _, most := i.counts(); most != 1 {
			t.Errorf("one refresh token was redeemed %d times", most)
		}
	})
}

func TestRestartWithALiveTokenDoesNotRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		seed, s := i.seed(), new(memory.Store)
		for range 5 {
			r := newRefresher(i, s, seed)
			stop := start(t, r)
			if _, err := r.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			stop()
		}
		if asked, _, _ := i.counts(); asked != 1 {
			t.Errorf("%d token requests, want 1", asked)
		}
	})
}

func TestIssuerDownIsAskedWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Minute)
		r := newRefresher(i, new(memory.Store), i.seed())
		start(t, r)
		if _, err := r.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		down := &tokens.IssuerError{Class: tokens.NotSent, Err: errors.New("connection refused")}
		i.mu.Lock()
		i.fault = func(int) (error, error) { return down, nil }
		i.mu.Unlock()

		for time.Since(began) < 59*time.Second {
			if token, err := r.Token(t.Context()); err != nil || !i.good(token.AccessToken) {
				t.Fatalf("while the token lives, after %v: %v", time.Since(began), err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		for range 10 {
			_, err := r.Token(t.Context())
			var unavailable *tokens.UnavailableError
			if !errors.As(err, &unavailable) || unavailable.RetryAfter <= 0 || !errors.Is(err, down) {
				t.Fatalf("after the token's end: %v", err)
			}
			time.Sleep(time.Minute)
		}
		if asked, _, _ := i.counts(); asked > 400 {
			t.Errorf("%d token requests in ten minutes", asked)
		}
		if s := r.Status(); s.State != tokens.Unavailable || s.Usable || s.Error == "" {
			t.Errorf("status %+v", s)
		}

		i.mu.Lock()
		i.fault = nil
		i.mu.Unlock()
		time.Sleep(time.Minute)
		if token, err := r.Token(t.Context()); err != nil || !i.good(token.AccessToken) {
			t.Errorf("after the issuer came back: %v", err)
		}
		if s := r.Status(); s.State != tokens.Ready {
			t.Errorf("status %+v", s)
		}
	})
}

func TestManyRejectionsOfOneTokenRefreshOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		i.Reuse, i.Latency = true, 100*time.Millisecond
		r := newRefresher(i, new(memory.Store), i.seed())
		start(t, r)
		rejected, err := r.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i.revokeAccess()
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				token, err := r.Renew(t.Context(), rejected)
				if err != nil || !i.good(token.AccessToken) {
					t.Errorf("renewed %v, error %v", token, err)
				}
			})
		}
		wg.Wait()
		if token, err := r.Renew(t.Context(), rejected); err != nil || !i.good(token.AccessToken) {
			t.Errorf("late: renewed %v, error %v", token, err)
		}
		if asked, _, _ := i.counts(); asked != 2 {
			t.Errorf("%d token requests, want 2", asked)
		}
	})
}

func TestCallerWhoLeavesCancelsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		i.Latency = 2 * time.Second
		r := newRefresher(i, new(memory.Store), i.seed())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		if err := r.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := r.Status(); s.State != tokens.Ready || s.Generation != 1 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestTokenAllocatesNothing(t *testing.T) {
	i := newIssuer(time.Hour)
	r := newRefresher(i, new(memory.Store), i.seed())
	if _, err := r.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { r.Token(t.Context()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkToken(b *testing.B) {
	i := newIssuer(time.Hour)
	r := newRefresher(i, new(memory.Store), i.seed())
	ctx := b.Context()
	if _, err := r.Token(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.Token(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}
