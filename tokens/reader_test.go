package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// TestReadersFollow tests that readers serve through many refreshes without a wait, whether
// they are told of them or not, and how often they read.
func TestReadersFollow(t *testing.T) {
	for _, mute := range []bool{false, true} {
		t.Run(fmt.Sprint("mute ", mute), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, s := newIssuer(time.Hour), &split{mute: mute}
				start(t, newRefresher(i, s, i.seed()))
				var all []*tokens.Reader
				for range 3 {
					all = append(all, startReader(t, s))
				}
				time.Sleep(15 * time.Second)
				s.loads.Store(0)
				for range 10 * 60 * 60 {
					time.Sleep(time.Second)
					for _, r := range all {
						began := time.Now()
						mustRead(t, r, i)
						if waited := time.Since(began); waited > 0 {
							t.Fatalf("waited %v", waited)
						}
					}
				}
				asked, _, _ := i.counts()
				perExpiry := float64(s.loads.Load()) / float64(asked-1) / 3
				t.Logf("%d token requests, %.1f reads a refresh and reader", asked, perExpiry)
				if perExpiry > 2 {
					t.Errorf("%.1f reads a refresh and reader, want at most 2", perExpiry)
				}
			})
		})
	}
}

// TestReaderStatus tests what a reader says of itself, and that it has no token before a
// refresher has.
func TestReaderStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(split)
		idle := tokens.NewReader(tokens.ReaderConfig{Account: "park", Store: readerView{s}})
		if st := idle.Status(); st.State != tokens.Starting {
			t.Errorf("status %+v", st)
		}
		r := startReader(t, s)
		began := time.Now()
		_, err := r.Token(t.Context())
		var unavailable *tokens.UnavailableError
		if !errors.As(err, &unavailable) || unavailable.Reason() != "no refresher has stored an access token yet" {
			t.Errorf("error %v", err)
		}
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("waited %v", waited)
		}
		if st := r.Status(); st.State != tokens.Unavailable || st.Began || st.Usable {
			t.Errorf("status %+v", st)
		}
		time.Sleep(time.Minute)
		began = time.Now()
		if _, err := r.Token(t.Context()); err == nil || time.Since(began) != 3*time.Second {
			t.Errorf("later: waited %v, error %v", time.Since(began), err)
		}
		time.AfterFunc(2*time.Second, func() { mustServe(t, newRefresher(i, s, i.seed()), i) })
		if token := mustRead(t, r, i); token.Generation != 1 {
			t.Errorf("generation %d", token.Generation)
		}
		synctest.Wait() // for the refresher
		st := r.Status()
		if st.State != tokens.Ready || st.Role != "reader" || !st.Began || st.Generation != 1 || st.Error != "" ||
			!st.NextRefresh.IsZero() || !st.RefreshExpiry.IsZero() || time.Until(st.Expiry) <= 59*time.Minute {
			t.Errorf("status %+v", st)
		}
	})
}

// TestReaderOfADownStore tests that a reader serves as long as its token lives, and how
// often it tries to read.
func TestReaderOfADownStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(split)
		mustServe(t, newRefresher(i, s, i.seed()), i)
		r := startReader(t, s)
		mustRead(t, r, i)
		s.down.Store(true)
		time.Sleep(58 * time.Minute)
		mustRead(t, r, i)
		if st := r.Status(); st.State != tokens.Degraded || !strings.Contains(st.Error, "loading access token: store cannot be reached") {
			t.Errorf("status %+v", st)
		}
		time.Sleep(10 * time.Minute)
		s.loads.Store(0)
		for range 60 {
			_, err := r.Token(t.Context())
			var unavailable *tokens.UnavailableError
			if !errors.As(err, &unavailable) || unavailable.Reason() != "the state cannot be read" || unavailable.RetryAfter <= 0 {
				t.Fatalf("error %v", err)
			}
			time.Sleep(time.Second)
		}
		if n := s.loads.Load(); n > 60 { // 240 s with apps
			t.Errorf("%d reads in four minutes", n)
		}
		if st := r.Status(); st.State != tokens.Unavailable {
			t.Errorf("status %+v", st)
		}
		s.down.Store(false)
		mustServe(t, newRefresher(i, s, i.seed()), i)
		mustRead(t, r, i)
	})
}

// TestReaderLogsExpiry tests that a reader logs once that its token has expired and no
// refresher has stored a newer one, and once that a token serves again.
func TestReaderLogsExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(split)
		core, logged := observer.New(zap.InfoLevel)
		mustServe(t, newRefresher(i, s, i.seed()), i)
		r := tokens.NewReader(tokens.ReaderConfig{Account: "park", Store: readerView{s}, Log: zap.New(core)})
		runReader(t, r)
		mustRead(t, r, i)
		for range 2 {
			logged.TakeAll()
			time.Sleep(58 * time.Minute)
			if got := logged.Len(); got != 0 {
				t.Errorf("%d lines before the token expires", got)
			}
			time.Sleep(20 * time.Minute)
			r.Token(t.Context())
			if got := logged.TakeAll(); len(got) != 1 || got[0].Level != zap.WarnLevel ||
				!strings.HasPrefix(got[0].Message, "access token has expired") {
				t.Errorf("after the token has expired: %v", got)
			}
			mustServe(t, newRefresher(i, s, i.seed()), i)
			mustRead(t, r, i)
			synctest.Wait()
			if got := logged.FilterMessage("an access token serves again"); got.Len() != 1 {
				t.Errorf("after a new token: %v", logged.All())
			}
		}
	})
}

// TestReaderOfADeadAccount tests that a reader serves a dead account to the end of its
// token, and takes up a new login.
func TestReaderOfADeadAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(split)
		refresher := newRefresher(i, s, i.seed())
		mustServe(t, refresher, i)
		r := startReader(t, s)
		mustRead(t, r, i)
		put(t, &s.Store, func(rec *tokens.Record) {
			rec.Dead = &tokens.Death{Reason: "revoked", At: time.Now()}
			s.put(rec.Access())
		})
		synctest.Wait()
		mustRead(t, r, i)
		if st := r.Status(); st.State != tokens.Dead || !st.Usable || st.Error != "revoked" {
			t.Errorf("status %+v", st)
		}
		time.Sleep(time.Hour)
		var dead *tokens.DeadError
		if _, err := r.Token(t.Context()); !errors.As(err, &dead) || dead.Reason != "revoked" {
			t.Errorf("error %v", err)
		}
		mustServe(t, newRefresher(i, s, i.seed()), i)
		synctest.Wait()
		mustRead(t, r, i)
		if st := r.Status(); st.State != tokens.Ready {
			t.Errorf("status %+v", st)
		}
	})
}

// TestReaderNeverGoesBack tests that an older access token does not replace one that
// serves, and does replace one that has expired.
func TestReaderNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(split)
		record := func(generation uint64, token string, life time.Duration) tokens.Record {
			return tokens.Record{Generation: generation, Grant: tokens.Grant{
				AccessToken: secret.New(token), Obtained: time.Now(), Expiry: time.Now().Add(life),
			}}
		}
		s.put(record(5, "five", time.Hour))
		r := startReader(t, s)
		synctest.Wait()
		s.put(record(4, "four", 3*time.Hour))
		synctest.Wait()
		if token, err := r.Token(t.Context()); err != nil || token.Generation != 5 {
			t.Errorf("generation %d, %v", token.Generation, err)
		}
		time.Sleep(time.Hour)
		if token, err := r.Token(t.Context()); err != nil || token.Generation != 4 {
			t.Errorf("generation %d, %v", token.Generation, err)
		}
	})
}

// TestReaderIsBehind tests that callers wait for an access token that is written late, and
// that a caller who leaves gets its context's error.
func TestReaderIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(split)
		s.noCopy.Store(true)
		refresher := newRefresher(i, s, i.seed())
		mustServe(t, refresher, i)
		r := startReader(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		time.AfterFunc(4*time.Second, func() {
			rec, _, _ := s.Load(t.Context())
			s.put(rec.Access())
		})
		began := time.Now()
		mustRead(t, r, i)
		if waited := time.Since(began); waited != 4*time.Second {
			t.Errorf("waited %v", waited)
		}
	})
}

// TestReaderWithAWrongClock tests that a token from the future serves, and not for longer
// than it lives.
func TestReaderWithAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(split)
		s.put(tokens.Record{Generation: 1, Grant: tokens.Grant{
			AccessToken: secret.New("a"), Obtained: time.Now().Add(24 * time.Hour), Expiry: time.Now().Add(25 * time.Hour),
		}})
		r := startReader(t, s)
		synctest.Wait()
		if _, err := r.Token(t.Context()); err != nil {
			t.Error(err)
		}
		if left := time.Until(r.Status().Expiry); left > time.Hour {
			t.Errorf("serves for %v", left)
		}
	})
}

// TestReaderDrains tests that a drain ends what callers wait for.
func TestReaderDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startReader(t, new(split))
		var apps sync.WaitGroup
		apps.Go(func() {
			_, err := r.Token(t.Context())
			var unavailable *tokens.UnavailableError
			if !errors.As(err, &unavailable) || unavailable.Reason() != "shutting down" {
				t.Errorf("error %v", err)
			}
		})
		time.Sleep(time.Second)
		if err := r.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		apps.Wait()
	})
}

// TestReaderTokenAllocatesNothing tests that a held token costs no allocation.
func TestReaderTokenAllocatesNothing(t *testing.T) {
	s := new(split)
	s.put(tokens.Record{Generation: 1, Grant: tokens.Grant{AccessToken: secret.New("a"), Obtained: time.Now()}})
	r := startReader(t, s)
	if _, err := r.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { r.Token(ctx) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestReaderOfLateRefreshers tests how often a reader looks for a token that nobody stores.
func TestReaderOfLateRefreshers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(split)
		mustServe(t, newRefresher(i, s, i.seed()), i)
		r := startReader(t, s)
		time.Sleep(59 * time.Minute)
		mustRead(t, r, i)
		time.Sleep(55 * time.Second)
		if n := s.loads.Load(); n > 1+12 {
			t.Errorf("%d reads in the token's lifetime", n)
		}
		s.loads.Store(0)
		time.Sleep(time.Hour)
		if n := s.loads.Load(); n > 2*60+10 {
			t.Errorf("%d reads in an hour in which nobody asks", n)
		}
	})
}
