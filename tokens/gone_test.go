package tokens_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// An endingHandle is a replica's view of a store that tells of changes, and that learns that
// the other holder has ended.
type endingHandle struct {
	handle
	ended atomic.Bool
}

func (h *endingHandle) Gone(string) bool { return h.ended.Load() }

// TestEndedHolderIsNoticedAtOnce tests that a replica which waits for another one does not
// wait on after that one has ended, though no change of the record tells of it, and that it
// reads the store no more often for that.
func TestEndedHolderIsNoticedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(telling)
		seed := i.seed()
		put(t, s, func(r *tokens.Record) {
			*r = tokens.Record{Grant: tokens.Grant{RefreshToken: seed}, Seed: seed.Hash(),
				Intent: &tokens.Intent{ID: "x.1", Holder: "x", Start: time.Now(), Try: 1}}
		})
		h := &endingHandle{handle: handle{s}}
		r := newRefresher(i, h, secret.String{}, func(c *tokens.Config) { c.Seed = constant(seed) })
		start(t, r)
		time.Sleep(12 * time.Second)
		if n := s.loads.Load(); n > 5 {
			t.Errorf("%d reads in 12 s of waiting, want at most 5", n)
		}
		if asked, _, _ := i.counts(); asked != 0 {
			t.Errorf("%d token requests while the holder runs", asked)
		}
		h.ended.Store(true)
		began := time.Now()
		mustServe(t, r, i)
		if waited := time.Since(began); waited > 300*time.Millisecond {
			t.Errorf("the end of the holder was noticed after %v", waited)
		}
	})
}
