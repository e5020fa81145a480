package tokens_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
)

// A faultyStore has the faults that a test sets. It implements Presence.
type faultyStore struct {
	memory.Store
	down    atomic.Bool // for writing
	slow    atomic.Int64
	unknown atomic.Bool // Swap writes, and returns ErrUnknown
	gone    atomic.Bool // Gone reports every holder
	last    func()      // the last write of a holder that is gone; may be nil
	damaged atomic.Bool // the record, until it is replaced
}

func (s *faultyStore) Load(ctx context.Context) (tokens.Record, tokens.Version, error) {
	if s.damaged.Load() {
		return tokens.Record{}, "damaged", tokens.ErrDamaged
	}
	return s.Store.Load(ctx)
}

func (s *faultyStore) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	if s.down.Load() {
		return "", errors.New("no space left on device")
	}
	time.Sleep(time.Duration(s.slow.Load()))
	if s.damaged.Load() {
		if old != "damaged" {
			return "", tokens.ErrDamaged
		}
		s.damaged.Store(false)
		_, old, _ = s.Store.Load(ctx)
	}
	version, err := s.Store.Swap(ctx, old, next)
	if err == nil && s.unknown.Load() {
		return "", tokens.ErrUnknown
	}
	return version, err
}

func (s *faultyStore) Gone(string) bool {
	if s.gone.Load() && s.last != nil {
		s.last()
		s.last = nil
	}
	return s.gone.Load()
}

// put replaces the record, as another process would.
func put(t *testing.T, s tokens.Store, change func(*tokens.Record)) {
	t.Helper()
	rec, version, err := s.Load(t.Context())
	if err != nil && !errors.Is(err, tokens.ErrNone) {
		t.Fatal(err)
	}
	change(&rec)
	if _, err := s.Swap(t.Context(), version, rec); err != nil {
		t.Fatal(err)
	}
}

func mustServe(t *testing.T, r *tokens.Refresher, i *issuer) tokens.Token {
	t.Helper()
	token, err := r.Token(t.Context())
	if err != nil || !i.good(token.AccessToken) {
		t.Fatalf("token of generation %d, error %v", token.Generation, err)
	}
	return token
}

func TestIntentOfAnotherIsTakenOverAfterTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		seed := i.seed()
		put(t, s, func(r *tokens.Record) {
			*r = tokens.Record{Grant: tokens.Grant{RefreshToken: seed}, Seed: seed.Hash(),
				Intent: &tokens.Intent{ID: "x.1", Holder: "x", Start: time.Now(), Try: 1}}
		})
		r := newRefresher(i, s, seed, func(c *tokens.Config) { c.Patience = 2 * time.Minute })
		start(t, r)
		began := time.Now()
		mustServe(t, r, i)
		if waited := time.Since(began); waited < 60*time.Second || waited > 61*time.Second {
			t.Errorf("took over after %v", waited)
		}
	})
}

func TestIntentOfAProcessThatIsGoneIsTakenOverAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		s.gone.Store(true)
		seed := i.seed()
		put(t, s, func(r *tokens.Record) {
			*r = tokens.Record{Grant: tokens.Grant{RefreshToken: seed}, Seed: seed.Hash(),
				Intent: &tokens.Intent{ID: "x.1", Holder: "x", Start: time.Now().Add(-time.Second), Try: 1}}
		})
		r := newRefresher(i, s, seed)
		start(t, r)
		began := time.Now()
		mustServe(t, r, i)
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("took over after %v", waited)
		}
	})
}

func TestLastWriteOfAProcessThatIsGoneIsAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		s.gone.Store(true)
		seed := i.seed()
		put(t, s, func(r *tokens.Record) {
			*r = tokens.Record{Grant: tokens.Grant{RefreshToken: seed}, Seed: seed.Hash(),
				Intent: &tokens.Intent{ID: "x.1", Holder: "x", Start: time.Now(), Try: 1}}
		})
		grant, err := i.Refresh(t.Context(), seed)
		if err != nil {
			t.Fatal(err)
		}
		s.last = func() {
			put(t, s, func(r *tokens.Record) { r.Generation, r.Grant, r.Intent = 1, grant, nil })
		}
		r := newRefresher(i, s, seed)
		began := time.Now()
		mustServe(t, r, i)
		if asked, _, _ := i.counts(); asked != 1 || time.Since(began) > 0 {
			t.Errorf("%d token requests, waited %v", asked, time.Since(began))
		}
	})
}

func TestDeathAfterAFallbackMentionsTheLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(faultyStore)
		i.Reuse = true
		r := newRefresher(i, s, i.seed(), func(c *tokens.Config) { c.Rotation = tokens.RotationMaybe })
		start(t, r)
		mustServe(t, r, i)
		i.mu.Lock()
		i.fault = func(try int) (error, error) {
			if try == 2 {
				return nil, &tokens.IssuerError{Class: tokens.Ambiguous, Err: errors.New("reset")}
			}
			return nil, nil
		}
		i.mu.Unlock()
		time.Sleep(5 * time.Minute)
		_, err := r.Token(t.Context())
		var dead *tokens.DeadError
		if !errors.As(err, &dead) || !strings.Contains(dead.Reason, "probably rotated") {
			t.Errorf("error %v", err)
		}
	})
}

func TestCallerDoesNotWaitForALongTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		seed := i.seed()
		put(t, s, func(r *tokens.Record) {
			*r = tokens.Record{Grant: tokens.Grant{RefreshToken: seed}, Seed: seed.Hash(),
				Intent: &tokens.Intent{ID: "x.1", Holder: "x", Start: time.Now(), Try: 1}}
		})
		r := newRefresher(i, s, seed)
		start(t, r)
		began := time.Now()
		_, err := r.Token(t.Context())
		var unavailable *tokens.UnavailableError
		if waited := time.Since(began); !errors.As(err, &unavailable) || waited != 10*time.Second {
			t.Errorf("waited %v: %v", waited, err)
		}
		const want = "process x began a refresh and has not ended it: it is waited for"
		if got := r.Status(); got.State != tokens.Unavailable || got.Error != want || !tokens.IsRecorded(got.Cause) ||
			!got.NextRefresh.Equal(began.Add(60*time.Second).Round(0)) {
			t.Errorf("status after %v: %+v", time.Since(began), got)
		}
		time.Sleep(time.Minute)
		if got := r.Status(); got.State != tokens.Ready || got.Error != "" {
			t.Errorf("status in the end: %+v", got)
		}
	})
}

func TestRestoredBackupIsOverwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(10*time.Second), new(faultyStore)
		i.Reuse = true
		r := newRefresher(i, s, i.seed())
		start(t, r)
		mustServe(t, r, i)
		backup, _, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		put(t, s, func(r *tokens.Record) { *r = backup })
		time.Sleep(2 * time.Second)
		if rec, _, _ := s.Load(t.Context()); rec.Generation <= backup.Generation {
			t.Errorf("generation %d is still there", rec.Generation)
		}
		time.Sleep(time.Minute)
		mustServe(t, r, i)
		if _, _, most := i.counts(); most != 1 {
			t.Errorf("one refresh token was redeemed %d times", most)
		}
	})
}

// TestDamagedRecordIsPutBack checks that a process puts back the record that the store
// has lost, and reports it as unsaved until then.
func TestDamagedRecordIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(faultyStore)
		i.Reuse = true
		r := newRefresher(i, s, i.seed())
		start(t, r)
		mustServe(t, r, i)
		s.down.Store(true)
		s.damaged.Store(true)
		time.Sleep(2 * time.Second)
		if st := r.Status(); st.State != tokens.Unsaved || !st.Usable {
			t.Errorf("status of a damaged record: %+v", st)
		}
		mustServe(t, r, i)
		s.down.Store(false)
		time.Sleep(10 * time.Second)
		if st := r.Status(); st.State != tokens.Ready || s.damaged.Load() {
			t.Errorf("damaged %t, status %+v", s.damaged.Load(), st)
		}
		s.damaged.Store(true)
		time.Sleep(5 * time.Minute)
		mustServe(t, r, i)
		if _, redeemed, most := i.counts(); most != 1 || redeemed < 5 {
			t.Errorf("%d redemptions, one refresh token %d times", redeemed, most)
		}
	})
}

// TestDamagedRecordOfAnotherIsLeftAlone checks that a process that does not hold the
// record does not replace it by the seed, which is not what was lost.
func TestDamagedRecordOfAnotherIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(faultyStore)
		s.damaged.Store(true)
		r := newRefresher(i, s, i.seed())
		start(t, r)
		if _, err := r.Token(t.Context()); !errors.Is(err, tokens.ErrDamaged) {
			t.Errorf("error %v, want ErrDamaged", err)
		}
		if asked, _, _ := i.counts(); asked != 0 || !s.damaged.Load() {
			t.Errorf("%d token requests; damaged %t", asked, s.damaged.Load())
		}
	})
}

// TestDrainPutsADamagedRecordBack checks that Drain puts back a damaged record, or returns
// an error.
func TestDrainPutsADamagedRecordBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(faultyStore)
		r := newRefresher(i, s, i.seed())
		mustServe(t, r, i)
		s.damaged.Store(true)
		s.down.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := r.Drain(ctx); err == nil || !strings.Contains(err.Error(), "no space left on device") {
			t.Error(err)
		}
		s.down.Store(false)
		if err := r.Drain(t.Context()); err != nil || s.damaged.Load() {
			t.Errorf("damaged %t: %v", s.damaged.Load(), err)
		}
	})
}

// TestReplicaBehindDoesNotSpendAfterARestore restores a backup after one replica has
// rotated, and before the other one knows of it. The one that is behind must not take
// its own record for the newest.
func TestReplicaBehindDoesNotSpendAfterARestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(faultyStore)
		i.Reuse, i.RevokeOld = true, true
		seed := i.seed()
		ahead := newRefresher(i, s, seed, func(c *tokens.Config) { c.Holder, c.Poll = "ahead", 5*time.Second })
		behind := newRefresher(i, s, seed, func(c *tokens.Config) { c.Holder = "behind" })
		old := mustServe(t, ahead, i)
		backup, _, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ahead.Renew(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		old = mustServe(t, behind, i)
		time.Sleep(time.Second) // the pause after a refused token
		if _, err := ahead.Renew(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		put(t, s, func(r *tokens.Record) { *r = backup })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		behind.Renew(ctx, old)
		if rec, _, _ := s.Load(t.Context()); rec.Generation != old.Generation {
			t.Errorf("generation %d is stored, want the %d of the replica behind", rec.Generation, old.Generation)
		}
		start(t, behind)
		start(t, ahead)
		time.Sleep(10 * time.Second)
		mustServe(t, behind, i)
		time.Sleep(2 * time.Minute)
		mustServe(t, ahead, i)
		if _, _, most := i.counts(); most != 1 {
			t.Errorf("one refresh token was redeemed %d times", most)
		}
	})
}

// TestRotationWithoutAnAccessTokenIsKept checks that the refresh token of an otherwise
// useless answer is kept: it is the only valid one.
func TestRotationWithoutAnAccessTokenIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(faultyStore)
		i.Reuse = true
		r := newRefresher(i, s, i.seed(), func(c *tokens.Config) { c.Rand = func() float64 { return 0.5 } })
		first := mustServe(t, r, i)
		i.mu.Lock()
		i.fault = func(try int) (before, after error) {
			if try == 2 {
				after = &tokens.IssuerError{Class: tokens.Refused, Status: 200, Err: errors.New("token type is not Bearer")}
			}
			return nil, after
		}
		i.keepRotated = true
		i.mu.Unlock()
		start(t, r)
		time.Sleep(45 * time.Second)
		if st := r.Status(); st.Generation != 2 || st.State != tokens.Degraded || !strings.Contains(st.Error, "not Bearer") {
			t.Errorf("status %+v", st)
		}
		if token := mustServe(t, r, i); !token.AccessToken.Equal(first.AccessToken) {
			t.Error("it is not the old access token that serves")
		}
		time.Sleep(time.Minute)
		mustServe(t, r, i)
		if st := r.Status(); st.State != tokens.Ready {
			t.Errorf("status %+v", st)
		}
		if _, _, most := i.counts(); most != 1 {
			t.Errorf("one refresh token was redeemed %d times", most)
		}
	})
}

// TestRefusedTokenInANewGeneration checks that a rotation without an access token does
// not make the one that the API refuses usable again.
func TestRefusedTokenInANewGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(faultyStore)
		i.RevokeOld, i.keepRotated = true, true
		i.fault = func(try int) (before, after error) {
			if try == 2 {
				after = &tokens.IssuerError{Class: tokens.Refused, Status: 200, Err: errors.New("token type is not Bearer")}
			}
			return nil, after
		}
		r := newRefresher(i, s, i.seed())
		start(t, r)
		var unavailable *tokens.UnavailableError
		if _, err := r.Renew(t.Context(), mustServe(t, r, i)); !errors.As(err, &unavailable) {
			t.Errorf("renewing: %v", err)
		}
		if st := r.Status(); st.Generation != 2 || st.Usable {
			t.Errorf("status %+v", st)
		}
		time.Sleep(20 * time.Second)
		mustServe(t, r, i)
	})
}

// TestFallbackDoesNotBringARefusedTokenBack checks that a caller gets no access token again
// that the API refused, when the issuer does not know the newest refresh token and the one
// before is tried.
func TestFallbackDoesNotBringARefusedTokenBack(t *testing.T) {
	for _, valid := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			i, s := newIssuer(time.Minute), new(faultyStore)
			i.Never = true
			seed := i.seed()
			r := newRefresher(i, s, seed, func(c *tokens.Config) { c.Rotation = tokens.RotationMaybe })
			start(t, r)
			refused := mustServe(t, r, i)
			put(t, s, func(r *tokens.Record) {
				r.Grant.RefreshToken, r.Grant.Fallback = secret.New("unheard-of"), secret.New("unheard-of too")
				if valid {
					r.Grant.Fallback = seed
				}
			})
			got, err := r.Renew(t.Context(), refused)
			var dead *tokens.DeadError
			switch {
			case valid && (err != nil || got.AccessToken.Equal(refused.AccessToken)):
				t.Errorf("the fallback is valid: %v, the same token %t", err, got.AccessToken.Equal(refused.AccessToken))
			case !valid && !errors.As(err, &dead):
				t.Errorf("the fallback is not valid either: %v, want a dead account", err)
			}
		})
	}
}

func TestNewSeedBeginsANewLineAndOldSeedsDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		i.Reuse = true
		first, second := i.seed(), i.seed()
		for n, seed := range []secret.String{first, second, first, second, first} {
			r := newRefresher(i, s, seed)
			stop := start(t, r)
			mustServe(t, r, i)
			stop()
			want := 2
			if n == 0 {
				want = 1
			}
			if asked, _, _ := i.counts(); asked != want {
				t.Errorf("start %d: %d token requests, want %d", n, asked, want)
			}
		}
	})
}

func TestNewLineIsANewGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		for n := range uint64(3) {
			r := newRefresher(i, s, i.seed())
			stop := start(t, r)
			mustServe(t, r, i)
			stop()
			if rec, _, _ := s.Load(t.Context()); rec.Generation != 1+2*n {
				t.Errorf("generation %d with seed %d", rec.Generation, n)
			}
		}
	})
}

func TestUnknownOutcomeIsFoundOutByLoading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		s.unknown.Store(true)
		r := newRefresher(i, s, i.seed())
		mustServe(t, r, i)
		if asked, _, _ := i.counts(); asked != 1 {
			t.Errorf("%d token requests", asked)
		}
		if err := r.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestFallbackWhereRotationIsNotDocumented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		i.Never = true // the old token stays valid, and the new one is not
		seed := i.seed()
		put(t, s, func(r *tokens.Record) {
			*r = tokens.Record{Generation: 3, Seed: seed.Hash(), Grant: tokens.Grant{RefreshToken: secret.New("unheard-of"), Fallback: seed}}
		})
		r := newRefresher(i, s, seed, func(c *tokens.Config) { c.Rotation = tokens.RotationMaybe })
		began := time.Now()
		start(t, r)
		mustServe(t, r, i)
		if waited := time.Since(began); waited > 100*time.Millisecond {
			t.Errorf("the fallback was used after %v", waited)
		}
		if rec, _, _ := s.Load(t.Context()); !rec.Grant.RefreshToken.Equal(seed) || rec.Dead != nil {
			t.Errorf("stored %v, dead %v", rec.Grant.RefreshToken.Reveal(), rec.Dead)
		}
	})
}

func TestFallbackIsKeptUntilTheNewOneHasWorked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(faultyStore)
		seed := i.seed()
		r := newRefresher(i, s, seed, func(c *tokens.Config) { c.Rotation = tokens.RotationMaybe })
		start(t, r)
		mustServe(t, r, i)
		rec, _, _ := s.Load(t.Context())
		if !rec.Grant.Fallback.Equal(seed) {
			t.Errorf("fallback %q", rec.Grant.Fallback.Reveal())
		}
		time.Sleep(time.Minute)
		next, _, _ := s.Load(t.Context())
		if !next.Grant.Fallback.Equal(rec.Grant.RefreshToken) {
			t.Errorf("fallback %q", next.Grant.Fallback.Reveal())
		}
	})
}

func TestThrottledIssuerIsLeftAloneByEveryReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		seed := i.seed()
		i.fault = func(try int) (error, error) {
			if try == 1 {
				return &tokens.IssuerError{Class: tokens.Throttled, Status: 429, RetryAfter: 90 * time.Second}, nil
			}
			return nil, nil
		}
		var replicas []*tokens.Refresher
		for _, name := range []string{"a", "b", "c"} {
			r := newRefresher(i, s, seed, func(c *tokens.Config) { c.Holder = name })
			start(t, r)
			replicas = append(replicas, r)
		}
		time.Sleep(85 * time.Second)
		if asked, _, _ := i.counts(); asked != 1 {
			t.Errorf("%d token requests within Retry-After", asked)
		}
		time.Sleep(20 * time.Second)
		for _, r := range replicas {
			mustServe(t, r, i)
		}
		if asked, _, _ := i.counts(); asked != 2 {
			t.Errorf("%d token requests", asked)
		}
	})
}

func TestStoreDownAfterTheSpend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(faultyStore)
		i.Reuse, i.RevokeOld, i.Latency = true, true, time.Second
		r := newRefresher(i, s, i.seed())
		stop := start(t, r)
		old := mustServe(t, r, i)
		for asked := 0; asked < 2; asked, _, _ = i.counts() {
			time.Sleep(100 * time.Millisecond)
		}
		s.down.Store(true) // the intent is stored, and the request is on its way
		time.Sleep(2 * time.Second)
		if st := r.Status(); st.State != tokens.Unsaved || st.Generation != 2 {
			t.Errorf("status %+v", st)
		}
		token, err := r.Token(t.Context())
		if err != nil || token.Generation != old.Generation {
			t.Errorf("generation %d is published before it is durable, error %v", token.Generation, err)
		}
		token, err = r.Renew(t.Context(), token) // the API refuses it
		if err != nil || !i.good(token.AccessToken) {
			t.Errorf("nothing is served from memory: %v", err)
		}
		time.Sleep(5 * time.Minute)
		if asked, _, _ := i.counts(); asked != 2 {
			t.Errorf("%d token requests while a grant is not stored", asked)
		}
		s.down.Store(false)
		time.Sleep(2 * time.Minute)
		mustServe(t, r, i)
		if st := r.Status(); st.State != tokens.Ready {
			t.Errorf("status %+v", st)
		}
		stop()
		if rec, _, _ := s.Load(t.Context()); rec.Generation < 3 {
			t.Errorf("stored generation %d", rec.Generation)
		}
	})
}

func TestDrainGoesOnStoring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(faultyStore)
		i.Latency = time.Second
		r := newRefresher(i, s, i.seed())
		go func() {
			time.Sleep(500 * time.Millisecond)
			s.down.Store(true)
		}()
		r.Token(t.Context())
		go func() {
			time.Sleep(5 * time.Second)
			s.down.Store(false)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		if err := r.Drain(ctx); err != nil {
			t.Error(err)
		}
		if rec, _, _ := s.Load(t.Context()); rec.Generation != 1 {
			t.Errorf("stored generation %d", rec.Generation)
		}
	})
}

func TestDrainReportsALostGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(faultyStore)
		i.Latency = time.Second
		r := newRefresher(i, s, i.seed())
		go func() {
			time.Sleep(500 * time.Millisecond)
			s.down.Store(true)
		}()
		r.Token(t.Context())
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := r.Drain(ctx); err == nil || !strings.Contains(err.Error(), "no space left on device") {
			t.Error(err)
		}
	})
}

func TestLostAnswerWaitsWhileTheAccessTokenServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(10*time.Minute), new(faultyStore)
		i.Reuse = true
		r := newRefresher(i, s, i.seed())
		start(t, r)
		mustServe(t, r, i)
		i.mu.Lock()
		i.fault = func(try int) (error, error) {
			if try == 2 {
				return nil, &tokens.IssuerError{Class: tokens.Ambiguous, Err: errors.New("reset")}
			}
			return nil, nil
		}
		i.mu.Unlock()
		began := time.Now()
		for _, asked, _ := i.counts(); asked < 2; _, asked, _ = i.counts() {
			time.Sleep(time.Second)
		}
		lost := time.Now()
		for i.good(mustToken(t, r).AccessToken) {
			time.Sleep(time.Second)
		}
		if served, left := time.Since(lost), 10*time.Minute-lost.Sub(began); served < left/3 {
			t.Errorf("the access token served %v after the loss, and had %v", served, left)
		}
		time.Sleep(10 * time.Minute)
		_, err := r.Token(t.Context())
		var dead *tokens.DeadError
		if !errors.As(err, &dead) || !strings.Contains(dead.Reason, "probably rotated") {
			t.Errorf("error %v", err)
		}
		if asked, _, _ := i.counts(); asked != 3 {
			t.Errorf("%d token requests", asked)
		}
	})
}

func mustToken(t *testing.T, r *tokens.Refresher) tokens.Token {
	t.Helper()
	token, err := r.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestLostAnswerAndARefusedTokenAskAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(10*time.Minute), new(faultyStore)
		r := newRefresher(i, s, i.seed())
		start(t, r)
		token := mustServe(t, r, i)
		i.mu.Lock()
		i.fault = func(try int) (error, error) {
			if try == 2 {
				return &tokens.IssuerError{Class: tokens.Ambiguous, Status: 502}, nil // before it was redeemed
			}
			return nil, nil
		}
		i.mu.Unlock()
		time.Sleep(8 * time.Minute)
		if asked, _, _ := i.counts(); asked != 2 {
			t.Fatalf("%d token requests", asked)
		}
		i.revokeAccess()
		fresh, err := r.Renew(t.Context(), token)
		if err != nil || !i.good(fresh.AccessToken) {
			t.Errorf("error %v", err)
		}
	})
}

func TestLoginIsAdoptedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		r := newRefresher(i, s, secret.New("never-issued"))
		start(t, r)
		_, err := r.Token(t.Context())
		var dead *tokens.DeadError
		if !errors.As(err, &dead) {
			t.Fatal(err)
		}
		grant, err := i.Refresh(t.Context(), i.seed())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tokens.Begin(t.Context(), s, grant, secret.New("never-issued")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
		mustServe(t, r, i)
	})
}

func TestIdleAccountIsRefreshedBeforeItsRefreshTokenLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(1000*time.Hour), new(faultyStore)
		seed := i.seed()
		r := newRefresher(short{i, 10 * time.Hour}, s, seed, func(c *tokens.Config) { c.Poll = time.Minute })
		start(t, r)
		time.Sleep(51 * time.Hour)
		if asked, _, _ := i.counts(); asked != 11 {
			t.Errorf("%d token requests in 51 hours, with refresh tokens of 10 hours", asked)
		}
	})
}

// TestRefreshTokenThatIsNotRenewed checks that at most one refresh is made to extend an
// end that no refresh extends, and that the status warns.
func TestRefreshTokenThatIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		i, s := newIssuer(8*time.Hour), new(faultyStore)
		i.Never = true
		seed := i.seed()
		end := time.Now().Add(60 * day)
		r := newRefresher(ending{i, end}, s, seed, func(c *tokens.Config) { c.Rotation, c.Poll = tokens.RotationNone, time.Minute })
		start(t, r)
		for _, step := range []struct {
			day  int
			want string
		}{{20, ""}, {40, "expires in 20 days"}, {55, "expires in 5 days: this is urgent"}, {59, "expires within a day: this is urgent"}, {61, "has expired"}, {70, "has expired"}} {
			time.Sleep(time.Until(end.Add(time.Duration(step.day-60) * day)))
			mustServe(t, r, i)
			if got := strings.Join(r.Status().Warnings, "; "); !strings.HasSuffix(got, step.want) || step.want == "" && got != "" {
				t.Errorf("day %d: %q", step.day, got)
			}
		}
		if asked, _, _ := i.counts(); asked > 70*5 {
			t.Errorf("%d token requests in 70 days, with access tokens of 8 hours", asked)
		}
	})
}

// ending is an issuer whose refresh token has a fixed end.
type ending struct {
	*issuer
	end time.Time
}

func (s ending) Refresh(ctx context.Context, token secret.String) (tokens.Grant, error) {
	grant, err := s.issuer.Refresh(ctx, token)
	grant.RefreshExpiry = s.end
	return grant, err
}

// short is an issuer whose refresh tokens have the lifetime life.
type short struct {
	*issuer
	life time.Duration
}

func (s short) Refresh(ctx context.Context, token secret.String) (tokens.Grant, error) {
	grant, err := s.issuer.Refresh(ctx, token)
	grant.RefreshExpiry = grant.Obtained.Add(s.life)
	return grant, err
}

func TestStatusWarns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		i, s := newIssuer(time.Hour), new(faultyStore)
		seed := i.seed()
		put(t, s, func(r *tokens.Record) {
			*r = tokens.Record{Generation: 1, Seed: seed.Hash(), Grant: tokens.Grant{
				AccessToken: secret.New("access"), RefreshToken: seed, Obtained: time.Now(), Expiry: time.Now().Add(400 * day), RefreshExpiry: time.Now().Add(365 * day)}}
		})
		i.fault = func(int) (error, error) {
			return &tokens.IssuerError{Class: tokens.Refused, Status: 401, Code: "invalid_client"}, nil
		}
		r := newRefresher(i, s, seed, func(c *tokens.Config) { c.Poll = time.Hour })
		start(t, r)
		began := time.Now()
		for _, step := range []struct {
			day  int
			want string
		}{{300, ""}, {340, "expires in 25 days"}, {360, "expires in 5 days: this is urgent"}, {366, "has expired"}} {
			time.Sleep(time.Until(began.Add(time.Duration(step.day) * day)))
			if got := strings.Join(r.Status().Warnings, "; "); !strings.HasSuffix(got, step.want) || step.want == "" && got != "" {
				t.Errorf("day %d: %q", step.day, got)
			}
		}
		r.Clock(time.Now().Add(-time.Hour))
		if got := r.Status().Warnings[0]; got != "the clock is 1h0m0s ahead of the issuer's: set it by NTP" {
			t.Error(got)
		}
	})
}

// TestNothingIsPublishedWhileItIsBeingStored checks that an API that refuses the old token
// since the refresh gets the new one when it is durable.
func TestNothingIsPublishedWhileItIsBeingStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(faultyStore)
		i.RevokeOld = true
		r := newRefresher(i, s, i.seed())
		start(t, r)
		token := mustServe(t, r, i)
		s.slow.Store(int64(3 * time.Second))
		for i.good(token.AccessToken) {
			time.Sleep(10 * time.Millisecond)
		}
		if st := r.Status(); st.State != tokens.Ready || st.Generation != 1 {
			t.Errorf("status %+v", st)
		}
		fresh, err := r.Renew(t.Context(), token)
		if err != nil || !i.good(fresh.AccessToken) {
			t.Fatal(err)
		}
		if rec, _, _ := s.Load(t.Context()); rec.Generation != fresh.Generation {
			t.Errorf("generation %d is used, and %d is stored", fresh.Generation, rec.Generation)
		}
	})
}

func TestWrongSeedDoesNotLoseTheGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		i.Reuse = true
		good := i.seed()
		for _, seed := range []secret.String{good, secret.New("mistyped"), good} {
			r := newRefresher(i, s, seed)
			stop := start(t, r)
			mustServe(t, r, i)
			stop()
		}
		if _, _, most := i.counts(); most != 1 {
			t.Errorf("one refresh token was redeemed %d times", most)
		}
	})
}

// fixed is an issuer whose grants all have the same access token.
type fixed struct{ *issuer }

func (f fixed) Refresh(ctx context.Context, token secret.String) (tokens.Grant, error) {
	grant, err := f.issuer.Refresh(ctx, token)
	if err == nil {
		grant.AccessToken = secret.New("always")
	}
	return grant, err
}

// TestAccessTokenThatIsGivenAgain checks that an access token serves that a new grant
// repeats, and that its refusal costs one refresh for all callers with the same grant.
func TestAccessTokenThatIsGivenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Minute), new(faultyStore)
		r := newRefresher(i, s, i.seed(), func(c *tokens.Config) { c.Issuer = fixed{i} })
		start(t, r)
		first, err := r.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			second, err := r.Renew(t.Context(), first)
			if err != nil || second.Generation != 2 || !second.AccessToken.Equal(first.AccessToken) {
				t.Errorf("generation %d, %v", second.Generation, err)
			}
		}
		if asked, _, _ := i.counts(); asked != 2 {
			t.Errorf("%d token requests, want 2", asked)
		}
		for range 10 { // it is also given again when it has expired
			time.Sleep(time.Minute)
			if _, err := r.Token(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestRefusedTokenIsReplacedWithoutFurtherRequests checks that an instance tries again by
// itself: while it is not ready, it gets no requests.
func TestRefusedTokenIsReplacedWithoutFurtherRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(72*time.Hour), new(faultyStore)
		r := newRefresher(i, s, i.seed())
		start(t, r)
		token := mustServe(t, r, i)
		i.mu.Lock()
		i.fault = func(try int) (error, error) {
			if try < 8 {
				return &tokens.IssuerError{Class: tokens.Ambiguous, Status: 503}, nil
			}
			return nil, nil
		}
		i.mu.Unlock()
		i.revokeAccess()
		if _, err := r.Renew(t.Context(), token); err == nil {
			t.Fatal("renewed by an issuer that is down")
		}
		time.Sleep(5 * time.Minute)
		if st := r.Status(); !st.Usable || st.State != tokens.Ready {
			t.Errorf("status %+v", st)
		}
	})
}

func TestRefusedSeedIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		bad, good := secret.New("never-issued"), i.seed()
		for _, seed := range []secret.String{bad, good, bad, good} {
			r := newRefresher(i, s, seed)
			stop := start(t, r)
			time.Sleep(time.Second)
			if !seed.Equal(bad) {
				mustServe(t, r, i)
			}
			stop()
		}
		if asked, _, _ := i.counts(); asked != 2 {
			t.Errorf("%d token requests, want one for each seed", asked)
		}
	})
}
