package tokens_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
)

// An older record replaces a dead one only if the older one is not dead itself.
func TestOlderDeadRecordIsNotAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(memory.Store)
		put(t, s, func(r *tokens.Record) {
			r.Generation, r.Grant.RefreshToken = 5, secret.New("spent")
			r.Dead = &tokens.Death{Reason: "the newer death", At: time.Now()}
		})
		r := newRefresher(i, s, secret.String{})
		start(t, r)
		time.Sleep(3 * time.Second)
		put(t, s, func(r *tokens.Record) {
			r.Generation, r.Grant.RefreshToken = 3, secret.New("older")
			r.Dead = &tokens.Death{Reason: "the older death", At: time.Now()}
		})
		time.Sleep(3 * time.Second)
		if got := r.Status(); got.Generation != 5 || got.State != tokens.Dead || !strings.Contains(got.Error, "the newer death") {
			t.Errorf("%+v", got)
		}
		seed := i.seed()
		put(t, s, func(r *tokens.Record) { r.Grant.RefreshToken, r.Dead = seed, nil })
		time.Sleep(3 * time.Second)
		mustServe(t, r, i)
	})
}

// Another grant of the same generation, which a person put there, is adopted.
func TestOtherGrantOfTheSameGenerationIsAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(memory.Store)
		r := newRefresher(i, s, i.seed())
		start(t, r)
		first := mustServe(t, r, i)
		put(t, s, func(r *tokens.Record) {
			r.Grant.AccessToken, r.Grant.RefreshToken = secret.New("another"), secret.New("another-refresh")
		})
		time.Sleep(3 * time.Second)
		token, err := r.Token(t.Context())
		if err != nil || token.AccessToken.Reveal() != "another" || token.Generation != first.Generation {
			t.Errorf("%q of generation %d, %v", token.AccessToken.Reveal(), token.Generation, err)
		}
	})
}

// A record that another process has stored does not make this one forget that the
// API refuses new tokens.
func TestRefusalsSurviveAnAdoptedRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(memory.Store)
		seed := i.seed()
		r := newRefresher(i, s, seed)
		start(t, r)
		token := mustServe(t, r, i)
		for range 2 { // each new token is refused
			time.Sleep(2 * time.Second)
			var err error
			if token, err = r.Renew(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			r.Refused(token)
		}
		before := r.Status().Warnings
		if len(before) != 1 || !strings.Contains(before[0], "the API refuses new tokens since") {
			t.Fatalf("warnings %q", before)
		}
		other := newRefresher(i, s, seed, func(c *tokens.Config) { c.Holder = "second" })
		start(t, other)
		served := mustServe(t, other, i)
		time.Sleep(10 * time.Second)
		if _, err := other.Renew(t.Context(), served); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if r.Status().Generation <= served.Generation {
			t.Fatal("the other process's record was not adopted")
		}
		if after := r.Status().Warnings; len(after) != 1 || after[0] != before[0] {
			t.Errorf("warnings %q, before %q", after, before)
		}
	})
}

// An unreadable store is logged once when that begins, and once when it ends.
func TestUnusableStateIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), &unreadableStore{}
		core, logged := observer.New(zap.InfoLevel)
		r := newRefresher(i, s, i.seed(), func(c *tokens.Config) { c.Log = zap.New(core) })
		start(t, r)
		mustServe(t, r, i)
		s.broken.Store(true)
		time.Sleep(5 * time.Second)
		s.broken.Store(false)
		time.Sleep(5 * time.Second)
		for message, want := range map[string]int{"state is unusable": 1, "state is usable again": 1} {
			if got := logged.FilterMessage(message).Len(); got != want {
				t.Errorf("%q was logged %d times, want %d", message, got, want)
			}
		}
		for _, entry := range logged.FilterMessage("state is unusable").All() {
			if entry.ContextMap()["hint"] != "look at the disk" {
				t.Errorf("logged %v, without the store's hint", entry.ContextMap())
			}
		}
	})
}

// A refresh that the store does not let begin is logged with the store's hint.
func TestRefreshFailsWithTheStoresHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(linkedStore)
		core, logged := observer.New(zap.InfoLevel)
		r := newRefresher(i, s, i.seed(), func(c *tokens.Config) { c.Log = zap.New(core) })
		if _, err := r.Token(t.Context()); err == nil {
			t.Fatal("a token came from a store that takes nothing")
		}
		all := logged.FilterMessage("refresh failed").All()
		if len(all) == 0 || all[0].ContextMap()["hint"] != "rm park.lock" {
			t.Errorf("logged %v", logged.All())
		}
	})
}

// A linkedStore has a symbolic link for its lock.
type linkedStore struct{ memory.Store }

func (*linkedStore) Swap(context.Context, tokens.Version, tokens.Record) (tokens.Version, error) {
	return "", hint.With(errors.New("park.lock is a symbolic link"), "rm park.lock")
}

// An unreadableStore cannot be read while it is broken.
type unreadableStore struct {
	memory.Store
	broken atomic.Bool
}

func (s *unreadableStore) Load(ctx context.Context) (tokens.Record, tokens.Version, error) {
	if s.broken.Load() {
		return tokens.Record{}, "", hint.With(errors.New("input/output error"), "look at the disk")
	}
	return s.Store.Load(ctx)
}

// Begin finds out whether a swap with an unknown outcome has stored the grant.
func TestBeginWithAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	s := new(faultyStore)
	s.unknown.Store(true)
	grant := tokens.Grant{AccessToken: secret.New("a"), RefreshToken: secret.New("r")}
	generation, err := tokens.Begin(t.Context(), s, grant, secret.String{})
	if err != nil || generation != 1 {
		t.Errorf("generation %d, %v", generation, err)
	}
	if rec, _, err := s.Store.Load(t.Context()); err != nil || rec.Generation != 1 || !rec.Grant.Same(grant) {
		t.Errorf("generation %d is stored, %v", rec.Generation, err)
	}
}

// An Observer gets the result of each token request.
func TestObserverGetsResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		told := make(results, 10)
		r := newRefresher(i, new(memory.Store), i.seed(), func(c *tokens.Config) { c.Observer = told })
		end := failing(i, &tokens.IssuerError{Class: tokens.NotSent, Err: errors.New("refused")})
		start(t, r)
		time.Sleep(100 * time.Millisecond)
		end()
		mustServe(t, r, i)
		if first, last := <-told, <-told; first != "not_sent" || last != "ok" {
			t.Errorf("told of %q and %q", first, last)
		}
	})
}

// results is an Observer that sends the results of token requests.
type results chan string

func (r results) Refreshed(result string, _ time.Duration) { r <- result }
func (results) WriteFailed()                               {}

// A process that was delayed after its claim does not spend, because another may have
// taken over.
func TestSlowClaimIsNotSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		r := newRefresher(i, s, i.seed())
		s.slow.Store(int64(25 * time.Second)) // more than half of the takeover delay
		stop := start(t, r)
		time.Sleep(3 * time.Minute)
		if asked, _, _ := i.counts(); asked != 0 {
			t.Errorf("%d token requests", asked)
		}
		s.slow.Store(0)
		time.Sleep(time.Minute)
		mustServe(t, r, i)
		stop()
	})
}

// Taking over another process's refresh is logged once.
func TestTakeoverIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		seed := i.seed()
		put(t, s, func(r *tokens.Record) {
			*r = tokens.Record{Grant: tokens.Grant{RefreshToken: seed}, Seed: seed.Hash(),
				Intent: &tokens.Intent{ID: "x.1", Holder: "x", Start: time.Now(), Try: 1}}
		})
		core, logged := observer.New(zap.WarnLevel)
		r := newRefresher(i, s, seed, func(c *tokens.Config) { c.Log = zap.New(core) })
		start(t, r)
		time.Sleep(time.Minute)
		mustServe(t, r, i)
		time.Sleep(time.Hour) // and refreshes of its own
		mustServe(t, r, i)
		if n := logged.FilterMessageSnippet("taking over").Len(); n != 1 {
			t.Errorf("logged %d times", n)
		}
	})
}

// The Observer is told when the outcome of a token request cannot be stored.
func TestUnrecordedFailureIsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(faultyStore)
		o := new(writes)
		r := newRefresher(i, s, i.seed(), func(c *tokens.Config) { c.Observer = o })
		i.mu.Lock()
		i.fault = func(int) (error, error) {
			s.down.Store(true) // after the claim
			return &tokens.IssuerError{Class: tokens.NotSent, Err: errors.New("refused")}, nil
		}
		i.mu.Unlock()
		start(t, r)
		time.Sleep(100 * time.Millisecond)
		if o.Load() != 1 {
			t.Errorf("told of %d failed writes", o.Load())
		}
		s.down.Store(false)
		i.mu.Lock()
		i.fault = nil
		i.mu.Unlock()
		time.Sleep(time.Minute)
		mustServe(t, r, i)
	})
}

// writes counts failed writes.
type writes struct{ atomic.Int64 }

func (*writes) Refreshed(string, time.Duration) {}
func (w *writes) WriteFailed()                  { w.Add(1) }

// Began means that an access token was held, and not that a seed was found.
func TestBeganWithTheFirstToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		end := failing(i, errNotSent)
		r := newRefresher(i, new(memory.Store), i.seed())
		start(t, r)
		time.Sleep(10 * time.Second)
		if r.Status().Began {
			t.Error("began without a token")
		}
		end()
		mustServe(t, r, i)
		if !r.Status().Began {
			t.Error("not begun with a token")
		}
	})
}

// Refusals are in a row while the API refuses fresh tokens. A token that was accepted for
// long ends the row.
func TestRefusalsInARow(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lived time.Duration // of the second token, until it was refused
		warns bool
	}{
		"fresh":                {time.Second, true},
		"just short of enough": {15*time.Minute - time.Second, true},
		"just long enough":     {15 * time.Minute, false},
		"long enough":          {15*time.Minute + time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i := newIssuer(time.Hour)
				r := newRefresher(i, new(memory.Store), i.seed())
				start(t, r)
				first := mustServe(t, r, i)
				second, err := r.Renew(t.Context(), first)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(test.lived)
				if _, err := r.Renew(t.Context(), second); err != nil {
					t.Fatal(err)
				}
				warned := strings.Contains(strings.Join(r.Status().Warnings, " "), "the API refuses new tokens")
				if warned != test.warns {
					t.Errorf("warnings %q", r.Status().Warnings)
				}
			})
		})
	}
}

// That the API refuses new tokens is logged once, with the second in a row.
func TestRefusedTokensAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		core, logged := observer.New(zap.WarnLevel)
		r := newRefresher(i, new(memory.Store), i.seed(), func(c *tokens.Config) { c.Log = zap.New(core) })
		start(t, r)
		token := mustServe(t, r, i)
		for n, want := range []int{0, 1, 1, 1} { // how often it was logged
			var err error
			if token, err = r.Renew(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			if got := logged.FilterMessage("the API refuses new access tokens").Len(); got != want {
				t.Errorf("logged %d times after %d refusals, want %d", got, n+1, want)
			}
		}
	})
}

// If a token has expired when its refresh ends, one more refresh follows for the callers
// that wait.
func TestTokenThatExpiredOnArrivalIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &slowIssuer{issuer: newIssuer(2 * time.Second), delay: 2500 * time.Millisecond}
		i.late.Store(1)
		r := newRefresher(i, new(memory.Store), i.seed())
		began := time.Now()
		token, err := r.Token(t.Context())
		if waited := time.Since(began); err != nil || !i.good(token.AccessToken) || waited > 3*time.Second {
			t.Errorf("after %v: %v", waited, err)
		}
		if asked, _, _ := i.counts(); asked != 2 {
			t.Errorf("%d token requests", asked)
		}
	})
}

// Only one more refresh follows, however short the lives of the tokens are.
func TestTokensThatAlwaysExpireOnArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &slowIssuer{issuer: newIssuer(100 * time.Millisecond), delay: 200 * time.Millisecond}
		i.late.Store(1000)
		r := newRefresher(i, new(memory.Store), i.seed())
		_, err := r.Token(t.Context())
		if _, ok := errors.AsType[*tokens.UnavailableError](err); !ok {
			t.Errorf("the error is %v", err)
		}
		if asked, _, _ := i.counts(); asked != 2 {
			t.Errorf("%d token requests", asked)
		}
	})
}

// A slowIssuer answers the first requests late.
type slowIssuer struct {
	*issuer
	delay time.Duration
	late  atomic.Int32 // how many answers to delay
}

func (i *slowIssuer) Refresh(ctx context.Context, token secret.String) (tokens.Grant, error) {
	grant, err := i.issuer.Refresh(ctx, token)
	if i.late.Add(-1) >= 0 {
		time.Sleep(i.delay)
	}
	return grant, err
}
