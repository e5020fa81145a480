package sealed_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
	"ticketproxy/tokens/store/sealed"
	"ticketproxy/tokens/store/storetest"
)

// A rotatingIssuer rotates its refresh token, and answers what the fault says. During is
// called while a request is under way.
type rotatingIssuer struct {
	during func()
	fault  func(asked int64) error
	asked  atomic.Int64
}

func (i *rotatingIssuer) Refresh(_ context.Context, refreshToken secret.String) (tokens.Grant, error) {
	n := i.asked.Add(1)
	if want := fmt.Sprintf("refresh-%d", n); i.fault == nil && refreshToken.Reveal() != want {
		return tokens.Grant{}, &tokens.IssuerError{Class: tokens.Invalid, Status: 400, Code: "invalid_grant"}
	}
	if n == 1 {
		i.during()
	}
	if i.fault != nil {
		if err := i.fault(n); err != nil {
			return tokens.Grant{}, err
		}
	}
	return tokens.Grant{
		AccessToken:  secret.New(fmt.Sprintf("access-%d", n)),
		RefreshToken: secret.New(fmt.Sprintf("refresh-%d", n+1)),
		Obtained:     time.Now(),
		Expiry:       time.Now().Add(time.Hour),
	}, nil
}

// refreshWhileRekeyed runs a refresh, during whose token request another process rewrites
// the record, after it has waited long enough. It returns the record that is stored after the refresh has ended and wait is
// over.
func refreshWhileRekeyed(t *testing.T, i *rotatingIssuer, wait time.Duration) tokens.Record {
	t.Helper()
	oldKey, _ := identity(t)
	newKey, newRecipient := identity(t)
	inner := new(memory.Store)
	first := storetest.Record(1)
	first.Grant.Expiry = time.Now().Add(-time.Minute)
	storetest.MustSwap(t, sealed.New(inner, newKeyFile(t, oldKey).Keyring, "park"), "", first)

	i.during = func() {
		other := sealed.New(inner, newKeyFile(t, newKey, oldKey).Keyring, "park")
		record, err := tokens.Rewrite(t.Context(), other)
		if err != nil || record.Intent == nil {
			t.Errorf("Rewrite during a refresh: %+v, %v", record, err)
		}
		if raw := storetest.MustLoad(t, inner).Record; raw.Recipient != newRecipient {
			t.Errorf("encrypted to %s during the refresh", raw.Recipient)
		}
	}
	running := sealed.New(inner, newKeyFile(t, newKey, oldKey).Keyring, "park")
	r := tokens.New(tokens.Config{Account: "park", Issuer: i, Store: running, Rotation: tokens.RotationSingleUse, Holder: "one"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	time.Sleep(wait)
	cancel()
	<-ended
	got := storetest.MustLoad(t, sealed.New(inner, newKeyFile(t, newKey).Keyring, "park")).Record
	if got.Recipient != newRecipient {
		t.Errorf("encrypted to %s after the refresh", got.Recipient)
	}
	return got
}

func TestRekeyDuringARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &rotatingIssuer{}
		got := refreshWhileRekeyed(t, i, time.Minute)
		if i.asked.Load() != 1 || got.Generation != 2 || got.Intent != nil || got.Grant.RefreshToken.Reveal() != "refresh-2" {
			t.Errorf("asked %d times: %s", i.asked.Load(), storetest.Encode(t, got))
		}
	})
}

// TestRekeyDuringARefreshThatFails tests that a failure which cannot be recorded, because of
// the rewrite, ends no account and stops no later refresh.
func TestRekeyDuringARefreshThatFails(t *testing.T) {
	for name, fault := range map[string]error{
		"not sent":  &tokens.IssuerError{Class: tokens.NotSent, Err: errors.New("connection refused")},
		"throttled": &tokens.IssuerError{Class: tokens.Throttled, Status: 429, RetryAfter: 5 * time.Second},
		"lost":      &tokens.IssuerError{Class: tokens.Ambiguous, Err: errors.New("connection reset")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &rotatingIssuer{fault: func(asked int64) error {
					if asked == 1 {
						return fault
					}
					return nil
				}}
				got := refreshWhileRekeyed(t, i, 2*time.Minute)
				if i.asked.Load() != 2 || got.Generation != 2 || got.Dead != nil || got.Intent != nil {
					t.Errorf("asked %d times: %s", i.asked.Load(), storetest.Encode(t, got))
				}
			})
		})
	}
}

// TestRekeyDuringADeath tests that the end of an account is recorded in spite of a rewrite.
func TestRekeyDuringADeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &rotatingIssuer{fault: func(int64) error {
			return &tokens.IssuerError{Class: tokens.Invalid, Status: 400, Code: "invalid_grant"}
		}}
		if got := refreshWhileRekeyed(t, i, 2*time.Minute); got.Dead == nil || i.asked.Load() != 2 {
			t.Errorf("asked %d times: %s", i.asked.Load(), storetest.Encode(t, got))
		}
	})
}

// TestRewriteWaitsForARefresh tests that a record is not rewritten during a short refresh,
// nor before the store has finished the last write of a process that has ended.
func TestRewriteWaitsForARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, _ := identity(t)
		inner := &leaving{Store: new(memory.Store)}
		s := sealed.New(inner, newKeyFile(t, own).Keyring, "park")
		claimed := storetest.Record(1)
		claimed.Intent = &tokens.Intent{ID: "one.1", Holder: "one", Start: time.Now(), Try: 1}
		version := storetest.MustSwap(t, s, "", claimed)

		start := time.Now()
		time.AfterFunc(5*time.Second, func() { storetest.MustSwap(t, s, version, storetest.Record(2)) })
		record, err := tokens.Rewrite(t.Context(), s)
		if took := time.Since(start); err != nil || record.Generation != 2 || took < 5*time.Second || took > 6*time.Second {
			t.Errorf("Rewrite: generation %d, %v, after %v", record.Generation, err, took)
		}

		version = storetest.MustLoad(t, s).Version
		version = storetest.MustSwap(t, s, version, claimed)
		inner.last = func() { storetest.MustSwap(t, s, version, storetest.Record(3)) }
		start = time.Now()
		record, err = tokens.Rewrite(t.Context(), s)
		if took := time.Since(start); err != nil || record.Generation != 3 || took > time.Second {
			t.Errorf("Rewrite: generation %d, %v, after %v", record.Generation, err, took)
		}

		storetest.MustSwap(t, s, storetest.MustLoad(t, s).Version, claimed)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		inner.last = nil
		if _, err := tokens.Rewrite(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Rewrite until a deadline: %v", err)
		}
	})
}

// A leaving store finishes the last write of a holder that has ended.
type leaving struct {
	*memory.Store
	last func()
}

func (s *leaving) Gone(string) bool {
	if s.last == nil {
		return false
	}
	s.last()
	return true
}

// TestNoSeedOverWhatCannotBeOpened tests that a process without the key stores nothing, and
// goes on once it has the key.
func TestNoSeedOverWhatCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, _ := identity(t)
		other, _ := identity(t)
		inner := new(memory.Store)
		first := storetest.Record(1)
		first.Seed = secret.New("an earlier seed").Hash()
		first.Grant.Obtained, first.Grant.Expiry = time.Now(), time.Now().Add(time.Hour)
		version := storetest.MustSwap(t, sealed.New(inner, newKeyFile(t, own).Keyring, "park"), "", first)
		keys, seed := newKeyFile(t, other), "a new seed"
		r := tokens.New(tokens.Config{
			Account:  "park",
			Issuer:   &rotatingIssuer{during: func() { t.Error("the issuer was asked") }},
			Store:    sealed.New(inner, keys.Keyring, "park"),
			Seed:     func() secret.String { return secret.New(seed) },
			Rotation: tokens.RotationSingleUse,
			Holder:   "one",
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.Run(ctx)
		}()
		time.Sleep(5 * time.Minute)
		if s := r.Status(); s.Usable || !errors.Is(s.Cause, tokens.ErrSealed) || s.State != tokens.Unavailable {
			t.Errorf("without the key: %+v", s)
		}
		if got := storetest.MustLoad(t, inner); got.Version != version {
			t.Error("the record was written over")
		}
		seed = "an earlier seed"
		keys.write(other + "\n" + own)
		time.Sleep(time.Minute)
		if token, err := r.Token(t.Context()); err != nil || token.Generation != 1 {
			t.Errorf("with the key: %+v, %v", token, err)
		}
		cancel()
		<-ended
	})
}
