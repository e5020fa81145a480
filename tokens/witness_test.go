package tokens_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// A forgetful is a store whose record can be deleted. It tells its replicas of changes and
// of what was lost.
type forgetful struct {
	blind atomic.Bool // it cannot tell what was lost

	mu        sync.Mutex
	record    tokens.Record
	version   tokens.Version
	versions  []tokens.Version
	listeners []func()
}

// delete deletes the record, as a person does.
func (s *forgetful) delete() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setLocked(tokens.Record{}, "")
}

func (s *forgetful) setLocked(rec tokens.Record, version tokens.Version) {
	s.record, s.version = rec, version
	s.versions = append(s.versions, version)
	for _, tell := range s.listeners {
		go tell()
	}
}

func (s *forgetful) Load(context.Context) (tokens.Record, tokens.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version == "" {
		return tokens.Record{}, "", tokens.ErrNone
	}
	return s.record, s.version, nil
}

func (s *forgetful) Swap(_ context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version != old {
		return "", tokens.ErrConflict
	}
	s.setLocked(next, tokens.Version(fmt.Sprint(len(s.versions)+1)))
	return s.version, nil
}

func (s *forgetful) Notify(changed func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, changed)
}

func (s *forgetful) Restored(ctx context.Context, lost, next tokens.Version) bool {
	time.Sleep(100 * time.Millisecond) // until it has seen next
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := 2; k < len(s.versions); k++ {
		if s.versions[k-2] == lost && s.versions[k-1] == "" && s.versions[k] == next {
			return !s.blind.Load()
		}
	}
	return false
}

// TestDeletedRecord tests that the deletion of the record costs apps nothing where the store
// tells that no process holds a newer one, and otherwise the takeover delay.
func TestDeletedRecord(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		blind  bool
		unseen bool // another process has written before the deletion, and nobody has read that
		silent time.Duration
	}{
		"it was the last one":         {silent: 0},
		"that is not known":           {blind: true, silent: 60 * time.Second},
		"another process was at work": {unseen: true, silent: 60 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i, s := newIssuer(8*time.Second), new(forgetful)
				i.Reuse, i.Latency = true, 100*time.Millisecond
				s.blind.Store(test.blind)
				seed := i.seed()
				var all []*tokens.Refresher
				for k := range 3 {
					r := newRefresher(i, s, secret.String{}, func(c *tokens.Config) {
						c.Holder, c.Seed = fmt.Sprint("replica-", k), constant(seed)
						c.Rand = func() float64 { return 0.5 } // no refresh is under way at the deletion
					})
					start(t, r)
					all = append(all, r)
				}
				time.Sleep(20 * time.Second)
				if test.unseen {
					s.mu.Lock()
					s.version = "unseen" // nobody is told
					s.versions = append(s.versions, s.version)
					s.mu.Unlock()
				}
				deleted := time.Now()
				s.delete()
				var silent time.Duration
				for time.Since(deleted) < time.Minute {
					time.Sleep(100 * time.Millisecond)
					for _, r := range all {
						ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
						if token, err := r.Token(ctx); err != nil || !i.good(token.AccessToken) {
							silent = time.Since(deleted)
						}
						cancel()
					}
				}
				t.Logf("tokens were missing until %v after the deletion", silent)
				if silent > test.silent+3*time.Second || silent < test.silent-3*time.Second {
					t.Errorf("tokens were missing until %v after the deletion, want %v", silent, test.silent)
				}
				if _, _, most := i.counts(); most != 1 {
					t.Errorf("a refresh token was redeemed %d times", most)
				}
				for _, r := range all {
					mustServe(t, r, i)
				}
			})
		})
	}
}
