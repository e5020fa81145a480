package tokens_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ticketproxy/secret"
	"ticketproxy/tokens"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An issuer models an authorization server that rotates refresh tokens. It counts
// redemptions, and tells an API whether an access token is good.
type issuer struct {
	Lifetime  time.Duration
	Latency   time.Duration
	Reuse     bool          // a spent token that is used again revokes its family
	Grace     time.Duration // within it, a spent token yields another pair
	Never     bool          // the refresh token stays as it is
	RevokeOld bool          // a refresh revokes the earlier access tokens

	keepRotated bool // a fault after the redemption leaves the refresh token in the answer

	mu       sync.Mutex
	serial   int
	refresh  map[string]*issued
	access   map[string]*issued
	asked    int // token requests
	redeemed int
	fault    func(try int) (before, after error) // errors of the n-th request, before and after it is redeemed
}

type issued struct {
	family  int
	spent   time.Time // zero while unspent
	times   int       // how often it was redeemed
	expiry  time.Time
	revoked bool
}

func newIssuer(lifetime time.Duration) *issuer {
	return &issuer{Lifetime: lifetime, refresh: map[string]*issued{}, access: map[string]*issued{}}
}

// seed issues a first refresh token, of a family of its own.
func (i *issuer) seed() secret.String {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.serial++
	token := fmt.Sprintf("refresh-%d", i.serial)
	i.refresh[token] = &issued{family: i.serial}
	return secret.New(token)
}

// Refresh implements tokens.Issuer.
func (i *issuer) Refresh(ctx context.Context, token secret.String) (tokens.Grant, error) {
	began := time.Now()
	i.mu.Lock()
	i.asked++
	var before, after error
	if i.fault != nil {
		before, after = i.fault(i.asked)
	}
	i.mu.Unlock()
	if before != nil {
		return tokens.Grant{}, before
	}
	if i.Latency > 0 {
		select {
		case <-time.After(i.Latency):
		case <-ctx.Done():
			return tokens.Grant{}, &tokens.IssuerError{Class: tokens.Ambiguous, Err: ctx.Err()}
		}
	}
	grant, err := i.redeem(token.Reveal(), began)
	if after != nil {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.keepRotated {
			return tokens.Grant{RefreshToken: grant.RefreshToken, Obtained: grant.Obtained}, after
		}
		return tokens.Grant{}, after
	}
	return grant, err
}

func (i *issuer) redeem(token string, began time.Time) (tokens.Grant, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	invalid := &tokens.IssuerError{Class: tokens.Invalid, Status: 400, Code: "invalid_grant"}
	held, ok := i.refresh[token]
	if !ok || held.revoked {
		return tokens.Grant{}, invalid
	}
	if !held.spent.IsZero() && time.Since(held.spent) >= i.Grace {
		if i.Reuse {
			i.revoke(held.family)
		}
		return tokens.Grant{}, invalid
	}
	i.redeemed++
	held.times++
	next := token
	if !i.Never {
		held.spent = time.Now()
		i.serial++
		next = fmt.Sprintf("refresh-%d", i.serial)
		i.refresh[next] = &issued{family: held.family}
	}
	if i.RevokeOld {
		for _, a := range i.access {
			a.revoked = a.revoked || a.family == held.family
		}
	}
	i.serial++
	access := fmt.Sprintf("access-%d", i.serial)
	i.access[access] = &issued{family: held.family, expiry: time.Now().Add(i.Lifetime)}
	return tokens.Grant{
		AccessToken:  secret.New(access),
		RefreshToken: secret.New(next),
		Obtained:     began,
		Expiry:       began.Add(i.Lifetime),
	}, nil
}

func (i *issuer) revoke(family int) {
	for _, set := range []map[string]*issued{i.refresh, i.access} {
		for _, t := range set {
			t.revoked = t.revoked || t.family == family
		}
	}
}

// revokeAccess ends every access token.
func (i *issuer) revokeAccess() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, t := range i.access {
		t.revoked = true
	}
}

// good reports whether the API accepts the access token.
func (i *issuer) good(token secret.String) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	t, ok := i.access[token.Reveal()]
	return ok && !t.revoked && time.Now().Before(t.expiry)
}

// counts returns the token requests, the redemptions, and the most redemptions of one
// refresh token.
func (i *issuer) counts() (asked, redeemed, most int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, t := range i.refresh {
		most = max(most, t.times)
	}
	return i.asked, i.redeemed, most
}

// start runs a Refresher until the test ends or stop is called.
func start(t *testing.T, r *tokens.Refresher) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			<-done
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := r.Drain(ctx); err != nil {
				t.Errorf("drain: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func constant(s secret.String) func() secret.String {
	return func() secret.String { return s }
}
