package tokens_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
)

// putGrant stores a record whose access token was obtained at the given time
// and lives for an hour, and whose refresh tokens live for ten days.
func putGrant(t *testing.T, i *issuer, s tokens.Store, obtained time.Time) (seed secret.String) {
	t.Helper()
	seed = i.seed()
	grant, err := i.Refresh(t.Context(), seed)
	if err != nil {
		t.Fatal(err)
	}
	grant.Obtained, grant.Expiry, grant.RefreshExpiry = obtained, obtained.Add(time.Hour), obtained.Add(240*time.Hour)
	put(t, s, func(r *tokens.Record) { *r = tokens.Record{Generation: 1, Grant: grant, Seed: seed.Hash()} })
	return seed
}

// TestRecordFromTheFutureIsRefreshedOnce checks that such a record is due at the start
// and serves meanwhile, and that the new grant is dated by the local clock.
func TestRecordFromTheFutureIsRefreshedOnce(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		ahead time.Duration
		asked int // in the first half hour
	}{
		"a year":         {365 * 24 * time.Hour, 1},
		"400 years":      {1<<63 - 1, 1},
		"ten minutes":    {10 * time.Minute, 1},
		"twenty seconds": {20 * time.Second, 0},
		"right":          {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i, s := newIssuer(time.Hour), new(memory.Store)
				i.Reuse, i.Latency = true, time.Second
				obtained := time.Now().Add(x.ahead)
				if x.ahead == 1<<63-1 {
					obtained = obtained.AddDate(108, 0, 0)
				}
				seed := putGrant(t, i, s, obtained)
				before, _, _ := i.counts()
				r := newRefresher(ending{i, time.Now().Add(240 * time.Hour)}, s, seed, func(c *tokens.Config) { c.Poll = time.Minute })
				start(t, r)
				synctest.Wait()
				began := time.Now()
				mustServe(t, r, i)
				if waited := time.Since(began); waited > 0 {
					t.Errorf("waited %v", waited)
				}
				time.Sleep(30 * time.Minute)
				if asked, _, _ := i.counts(); asked != before+x.asked {
					t.Errorf("%d token requests in the first half hour, want %d", asked-before, x.asked)
				}
				if st := r.Status(); st.State != tokens.Ready || st.Expiry.Sub(began) > 62*time.Minute || st.RefreshExpiry.Sub(began) > 241*time.Hour {
					t.Errorf("status %+v", st)
				}
				for range 100 { // as many refreshes as usual
					time.Sleep(time.Hour)
					mustServe(t, r, i)
				}
				if asked, _, _ := i.counts(); asked-before > 100*10/6+2 {
					t.Errorf("%d token requests in 100 hours, with access tokens of an hour", asked-before)
				}
				if rec, _, _ := s.Load(t.Context()); rec.Grant.Renewed.After(time.Now()) || rec.Grant.Obtained.After(time.Now()) {
					t.Errorf("obtained %v, renewed %v", rec.Grant.Obtained, rec.Grant.Renewed)
				}
			})
		})
	}
}

// TestRecordFromTheFutureAndALostAnswer checks that the wait after the lost answer is
// shorter than the access token's lifetime.
func TestRecordFromTheFutureAndALostAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(memory.Store)
		seed := putGrant(t, i, s, time.Now().Add(365*24*time.Hour))
		end := failing(i, errNoAnswer)
		r := newRefresher(i, s, seed)
		start(t, r)
		time.Sleep(time.Second)
		end()
		if left := time.Until(r.Status().RefreshExpiry); left > 240*time.Hour {
			t.Errorf("the refresh token is taken to live for %v", left)
		}
		time.Sleep(10 * time.Minute)
		mustServe(t, r, i)
		if st := r.Status(); st.Generation != 2 || st.State != tokens.Ready {
			t.Errorf("status %+v", st)
		}
	})
}

// A clocked store shows times as a process sees them whose clock is ahead.
type clocked struct {
	tokens.Store
	ahead time.Duration
}

func (s clocked) Load(ctx context.Context) (tokens.Record, tokens.Version, error) {
	rec, version, err := s.Store.Load(ctx)
	return shift(rec, -s.ahead), version, err
}

func (s clocked) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	return s.Store.Swap(ctx, old, shift(next, s.ahead))
}

// shift returns a record with all its times moved by the duration.
func shift(rec tokens.Record, by time.Duration) tokens.Record {
	if rec.Intent != nil {
		intent := *rec.Intent
		intent.Start = intent.Start.Add(by)
		rec.Intent = &intent
	}
	g := &rec.Grant
	for _, t := range []*time.Time{&g.Obtained, &g.Expiry, &g.RefreshExpiry, &g.Renewed, &rec.LostAt, &rec.RetryAt, &rec.NotBefore} {
		if !t.IsZero() {
			*t = t.Add(by)
		}
	}
	return rec
}

// TestClocksThatDisagree checks that two processes whose clocks always differ do not
// answer each refresh of the other with one of their own.
func TestClocksThatDisagree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(10*time.Minute), new(memory.Store)
		i.Reuse = true
		seed := i.seed()
		for name, ahead := range map[string]time.Duration{"right": 0, "ahead": time.Hour} {
			r := newRefresher(i, clocked{s, ahead}, seed, func(c *tokens.Config) { c.Holder = name })
			start(t, r)
		}
		time.Sleep(10 * time.Hour)
		if asked, _, most := i.counts(); asked > 60*2*10/6 || most != 1 {
			t.Errorf("%d token requests in 60 lifetimes; one token was redeemed %d times", asked, most)
		}
	})
}

// TestRecordThatMakesNoSense checks that an access token that ends before it began has
// expired, and that a Renewed after Obtained is ignored.
func TestRecordThatMakesNoSense(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(memory.Store)
		seed := putGrant(t, i, s, time.Now())
		put(t, s, func(r *tokens.Record) {
			r.Grant.Expiry = r.Grant.Obtained.Add(-time.Hour)
			r.Grant.Renewed = r.Grant.Obtained.AddDate(50, 0, 0)
		})
		r := newRefresher(i, s, seed)
		start(t, r)
		mustServe(t, r, i)
		if st := r.Status(); st.Generation != 2 {
			t.Errorf("status %+v", st)
		}
		time.Sleep(30 * time.Minute)
		if asked, _, _ := i.counts(); asked != 2 {
			t.Errorf("%d token requests, want 2", asked)
		}
	})
}

// TestWarningsOfARefreshTokenRenewedInTheFuture checks that a wrong date does not hide
// that the refresh token ends.
func TestWarningsOfARefreshTokenRenewedInTheFuture(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(memory.Store)
		seed := putGrant(t, i, s, time.Now().Add(-time.Minute))
		put(t, s, func(r *tokens.Record) {
			r.Grant.Renewed, r.Grant.Expiry = time.Now().AddDate(50, 0, 0), time.Now().AddDate(1, 0, 0)
		})
		failing(i, errNotSent)
		r := newRefresher(i, s, seed, func(c *tokens.Config) { c.Poll = time.Minute })
		start(t, r)
		time.Sleep(200 * time.Hour)
		if got := r.Status().Warnings; len(got) != 1 || got[0] != "the refresh token expires in 2 days: this is urgent" {
			t.Errorf("warnings %q", got)
		}
	})
}
