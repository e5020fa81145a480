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
	"ticketproxy/tokens/store/memory"
)

// A telling is a store shared by replicas, which tells each of them what it did not write
// itself, unless it is mute.
type telling struct {
	memory.Store
	mute  bool
	loads atomic.Int64
	swaps atomic.Int64
	down  atomic.Bool

	mu        sync.Mutex
	listeners map[*handle]func()
}

// A handle is one replica's view of a telling.
type handle struct{ shared *telling }

func (h *handle) Load(ctx context.Context) (tokens.Record, tokens.Version, error) {
	h.shared.loads.Add(1)
	if h.shared.down.Load() {
		return tokens.Record{}, "", tokens.ErrUnavailable
	}
	return h.shared.Store.Load(ctx)
}

func (h *handle) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	h.shared.swaps.Add(1)
	version, err := h.shared.Store.Swap(ctx, old, next)
	h.shared.mu.Lock()
	defer h.shared.mu.Unlock()
	for other, tell := range h.shared.listeners {
		if err == nil && other != h && !h.shared.mute {
			tell()
		}
	}
	return version, err
}

func (h *handle) Notify(changed func()) {
	h.shared.mu.Lock()
	defer h.shared.mu.Unlock()
	if h.shared.listeners == nil {
		h.shared.listeners = map[*handle]func(){}
	}
	h.shared.listeners[h] = changed
}

// startReplicas starts refreshers of one account.
func startReplicas(t *testing.T, n int, i tokens.Issuer, s *telling, seed func() secret.String) []*tokens.Refresher {
	var all []*tokens.Refresher
	for k := range n {
		r := newRefresher(i, &handle{s}, secret.String{}, func(c *tokens.Config) {
			c.Holder, c.Seed = fmt.Sprint("replica-", k), seed
		})
		start(t, r)
		all = append(all, r)
	}
	return all
}

// TestReplicasThatAreTold tests that replicas of a store that tells of changes refresh once
// for all, follow within a second, and hardly read. A mute store costs them no request.
func TestReplicasThatAreTold(t *testing.T) {
	for _, mute := range []bool{false, true} {
		t.Run(fmt.Sprint("mute ", mute), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const replicas = 5
				i, s := newIssuer(time.Hour), &telling{mute: mute}
				i.Reuse, i.Latency = true, 300*time.Millisecond
				all := startReplicas(t, replicas, i, s, constant(i.seed()))
				time.Sleep(40 * time.Second)
				t.Logf("start: %d reads, %d writes", s.loads.Load(), s.swaps.Load())
				if n := s.loads.Load(); n > 30 {
					t.Errorf("%d reads in 40 s, want at most 30", n)
				}
				for _, r := range all {
					mustServe(t, r, i)
				}
				s.loads.Store(0)
				s.swaps.Store(0)
				for range 10 * 60 { // ten lifetimes, a request a minute
					time.Sleep(time.Minute)
					for _, r := range all {
						mustServe(t, r, i)
					}
				}
				asked, _, most := i.counts()
				perExpiry := float64(s.loads.Load()) / float64(asked-1) / replicas
				t.Logf("then: %d token requests, %d reads, %d writes, %.1f reads a refresh and replica",
					asked, s.loads.Load(), s.swaps.Load(), perExpiry)
				if most != 1 || asked > 20 {
					t.Errorf("%d token requests, at most %d of one refresh token", asked, most)
				}
				if perExpiry > 5 {
					t.Errorf("%.1f reads a refresh and replica, want at most 5", perExpiry)
				}
				if mute {
					return
				}
				old := mustServe(t, all[0], i)
				time.Sleep(2 * time.Second)
				if _, err := all[0].Renew(t.Context(), old); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				for k, r := range all {
					if got := mustServe(t, r, i); got.Generation != old.Generation+1 {
						t.Errorf("replica %d has generation %d a second after %d", k, got.Generation, old.Generation+1)
					}
				}
			})
		})
	}
}

// TestToldReplicaTakesANewSeed tests that a seed is noticed though nobody tells of it.
func TestToldReplicaTakesANewSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(telling)
		var seed atomic.Pointer[secret.String]
		first, second := i.seed(), i.seed()
		seed.Store(&first)
		r := startReplicas(t, 1, i, s, func() secret.String { return *seed.Load() })[0]
		time.Sleep(10 * time.Second)
		if got := mustServe(t, r, i); got.Generation != 1 {
			t.Errorf("generation %d", got.Generation)
		}
		seed.Store(&second)
		time.Sleep(5 * time.Second)
		if got := mustServe(t, r, i); got.Generation != 3 {
			t.Errorf("generation %d, want 3: the new seed's line", got.Generation)
		}
	})
}

// TestToldReplicaAfterAnOutage tests that a store which could not be read at the start is
// read again, though it tells of nothing.
func TestToldReplicaAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(telling)
		s.down.Store(true)
		r := startReplicas(t, 1, i, s, constant(i.seed()))[0]
		time.Sleep(5 * time.Minute)
		if n := s.loads.Load(); n > 60 {
			t.Errorf("%d reads in five minutes of an outage", n)
		}
		s.down.Store(false)
		time.Sleep(35 * time.Second)
		mustServe(t, r, i)
	})
}
