package tokens_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
)

// A slowStore takes nearly as long as it may: a claim is written at once and reported
// late, and a grant is written late.
type slowStore struct{ tokens.Store }

func (s slowStore) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	const latency = 9 * time.Second
	if next.Intent == nil {
		time.Sleep(latency)
		return s.Store.Swap(ctx, old, next)
	}
	defer time.Sleep(latency)
	return s.Store.Swap(ctx, old, next)
}

// TestSlowRefreshIsNotTakenOver tests that a process is not taken for dead because its
// store and its issuer both take as long as they may.
func TestSlowRefreshIsNotTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(memory.Store)
		i.Reuse, i.Latency = true, 29*time.Second
		seed := i.seed()
		put(t, s, func(r *tokens.Record) {
			*r = tokens.Record{Grant: tokens.Grant{RefreshToken: seed}, Seed: seed.Hash()}
		})
		slow := newRefresher(i, slowStore{s}, seed, func(c *tokens.Config) { c.Holder = "slow" })
		start(t, slow)
		time.Sleep(100 * time.Millisecond)
		other := newRefresher(i, s, seed, func(c *tokens.Config) { c.Holder = "other" })
		start(t, other)
		time.Sleep(2 * time.Minute)
		mustServe(t, slow, i)
		mustServe(t, other, i)
		if asked, _, most := i.counts(); asked != 1 || most != 1 {
			t.Errorf("%d token requests, at most %d of one refresh token", asked, most)
		}
	})
}

// TestPauseAfterTheClaimSendsNothing tests that a process which was paused between its claim
// and its token request claims again: what is left of the takeover delay is too short for
// a slow issuer.
func TestPauseAfterTheClaimSendsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(memory.Store)
		i.Reuse, i.Latency = true, 29*time.Second
		seed := i.seed()
		paused := newRefresher(i, &pausedStore{Store: s}, seed, func(c *tokens.Config) { c.Holder = "paused" })
		start(t, paused)
		time.Sleep(100 * time.Millisecond)
		other := newRefresher(i, s, seed, func(c *tokens.Config) { c.Holder = "other" })
		start(t, other)
		time.Sleep(3 * time.Minute)
		mustServe(t, paused, i)
		mustServe(t, other, i)
		if asked, _, most := i.counts(); asked != 1 || most != 1 {
			t.Errorf("%d token requests, at most %d of one refresh token", asked, most)
		}
	})
}

// A pausedStore has its process paused after its first claim, for less than half of the
// takeover delay.
type pausedStore struct {
	tokens.Store
	claimed bool
}

func (s *pausedStore) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	version, err := s.Store.Swap(ctx, old, next)
	if err == nil && next.Intent != nil && !s.claimed {
		s.claimed = true
		time.Sleep(19 * time.Second)
	}
	return version, err
}
