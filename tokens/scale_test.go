package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
)

// A fleet is many replicas that share one account, over a store that counts its use. The
// store takes some time, as an engine at the other end of a network does.
type fleet struct {
	issuer *issuer
	slow   atomic.Int64 // what the issuer takes besides
	all    []*tokens.Refresher

	store memory.Store

	mu     sync.Mutex
	told   []func() // of each replica that is told of changes
	counts uses
}

// Uses are how often a fleet's store was used.
type uses struct {
	reads, writes, conflicts, events int
}

const (
	storeLatency = 5 * time.Millisecond  // of each read and each write, twice: there and back
	watchLatency = 50 * time.Millisecond // the longest time until a replica is told
)

// Refresh implements tokens.Issuer.
func (f *fleet) Refresh(ctx context.Context, token secret.String) (tokens.Grant, error) {
	time.Sleep(time.Duration(f.slow.Load()))
	return f.issuer.Refresh(ctx, token)
}

// count adds to the uses of the store.
func (f *fleet) count(add func(*uses)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	add(&f.counts)
}

// reset returns the uses since the last reset.
func (f *fleet) reset() uses {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.counts
	f.counts = uses{}
	return now
}

// A seat is one replica's view of the store.
type seat struct {
	fleet  *fleet
	number int
	random *rand.Rand
}

func (s *seat) Load(ctx context.Context) (tokens.Record, tokens.Version, error) {
	s.fleet.count(func(u *uses) { u.reads++ })
	time.Sleep(storeLatency)
	defer time.Sleep(storeLatency)
	return s.fleet.store.Load(ctx)
}

func (s *seat) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	time.Sleep(storeLatency)
	defer time.Sleep(storeLatency)
	version, err := s.fleet.store.Swap(ctx, old, next)
	s.fleet.count(func(u *uses) {
		u.writes++
		if errors.Is(err, tokens.ErrConflict) {
			u.conflicts++
		}
	})
	if err == nil {
		s.tell()
	}
	return version, err
}

// tell tells the other replicas of a change, each after some time.
func (s *seat) tell() {
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	for k, tell := range s.fleet.told {
		if k != s.number && tell != nil {
			s.fleet.counts.events++
			time.AfterFunc(time.Duration(s.random.Int64N(int64(watchLatency))), tell)
		}
	}
}

// A tellingSeat is a seat that is told of changes, or that waits for it in vain.
type tellingSeat struct {
	*seat
	mute bool
}

func (s tellingSeat) Notify(changed func()) {
	if !s.mute {
		s.fleet.mu.Lock()
		defer s.fleet.mu.Unlock()
		s.fleet.told[s.number] = changed
	}
}

// The ways in which a fleet learns of changes.
const (
	watching  = "watch"
	forbidden = "no watch" // it is not allowed to
	polling   = "poll"
)

// startFleet starts n replicas, one after the other within 100 ms, as a Deployment does
// at best.
func startFleet(t *testing.T, n int, news string, i *issuer) *fleet {
	f := &fleet{issuer: i, told: make([]func(), n)}
	seed := i.seed()
	for k := range n {
		s := &seat{fleet: f, number: k, random: rand.New(rand.NewPCG(uint64(n), uint64(k)))}
		jitter := rand.New(rand.NewPCG(uint64(n), uint64(1_000_000+k)))
		var mu sync.Mutex
		c := tokens.Config{
			Account:  "park",
			Issuer:   f,
			Store:    s,
			Holder:   fmt.Sprint("replica-", k),
			Seed:     constant(seed),
			Rotation: tokens.RotationSingleUse,
			Rand: func() float64 {
				mu.Lock()
				defer mu.Unlock()
				return jitter.Float64()
			},
		}
		if news != polling {
			c.Store = tellingSeat{s, news == forbidden}
		}
		r := tokens.New(c)
		f.all = append(f.all, r)
		start(t, r)
		time.Sleep(100 * time.Millisecond / time.Duration(n))
	}
	return f
}

// serve has apps ask every replica for some time. No request may wait, and each must
// get a token that the API accepts.
func (f *fleet) serve(t *testing.T, length, every time.Duration) {
	end := time.Now().Add(length)
	for time.Now().Before(end) {
		time.Sleep(every)
		began := time.Now()
		for k, r := range f.all {
			token, err := r.Token(t.Context())
			if err != nil || !f.issuer.good(token.AccessToken) || !time.Now().Equal(began) {
				t.Fatalf("replica %d: generation %d, error %v, waited %v", k, token.Generation, err, time.Since(began))
			}
		}
	}
}

// cost returns the uses for each of so many expiries and each replica.
func (u uses) cost(t *testing.T, what string, n, expiries int) (reads, writes, events float64) {
	share := func(count int) float64 { return float64(count) / float64(expiries) / float64(n) }
	t.Logf("%-28s %5d replicas, %2d expiries: %6.2f reads, %5.2f writes (%5.2f conflicts), %5.2f events each",
		what, n, expiries, share(u.reads), share(u.writes), share(u.conflicts), share(u.events))
	return share(u.reads), share(u.writes), share(u.events)
}

// within checks the uses for each expiry and replica against a bound that does not depend
// on the number of replicas. The refresh itself is one replica's: it has two writes and
// few reads.
func (u uses) within(t *testing.T, what string, n, expiries int, reads, writes, events float64) {
	t.Helper()
	own := 4 / float64(n)
	r, w, e := u.cost(t, what, n, expiries)
	if r > reads+own || w > writes+own || e > events {
		t.Errorf("%s, %d replicas: want at most %.2f reads, %.2f writes, %.2f events for each expiry and replica",
			what, n, reads+own, writes+own, events)
	}
}

// TestScale tests that the use of issuer and store is bounded for each expiry and replica,
// however many replicas share an account, and states it.
func TestScale(t *testing.T) {
	t.Parallel()
	for _, news := range []string{watching, forbidden, polling} {
		for _, n := range []int{2, 10, 100, 1_000} {
			if n > mostReplicas || news == polling && n > 10 {
				continue
			}
			t.Run(fmt.Sprintf("%s, %d replicas", news, n), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { scale(t, n, news) })
			})
		}
	}
}

// scale measures a start, four expiries, an expiry with a slow issuer, and a token that
// the API refuses at all replicas at once.
func scale(t *testing.T, n int, news string) {
	const lifetime = time.Minute
	i := newIssuer(lifetime)
	i.Reuse, i.Latency = true, 300*time.Millisecond
	f := startFleet(t, n, news, i)
	bound := map[string]struct{ reads, writes, events float64 }{
		watching:  {reads: 2.5, writes: 0.1, events: 2},
		forbidden: {reads: 1.5, writes: 0.1},
		polling:   {reads: 50, writes: 0.1},
	}[news]
	asked := func() int {
		asked, _, most := i.counts()
		if most > 1 {
			t.Errorf("a refresh token was redeemed %d times", most)
		}
		return asked
	}

	time.Sleep(7 * time.Second)
	if got := asked(); got != 1 {
		t.Errorf("%d token requests at the start", got)
	}
	f.reset().cost(t, news+", start", n, 1)

	f.serve(t, 4*lifetime*2/3, 4*time.Second)
	expiries := asked() - 1
	f.reset().within(t, news, n, expiries, bound.reads, bound.writes, bound.events)
	if expiries < 3 || expiries > 5 {
		t.Errorf("%d token requests in four times two thirds of a lifetime", expiries)
	}

	f.slow.Store(int64(10 * time.Second))
	before := asked()
	f.serve(t, lifetime*3/2, 4*time.Second)
	expiries = asked() - before
	f.reset().within(t, news+", issuer takes 10 s", n, expiries, bound.reads+3, bound.writes, bound.events)
	if expiries < 1 || expiries > 3 {
		t.Errorf("%d token requests of a slow issuer in one and a half lifetimes", expiries)
	}

	f.slow.Store(0)
	f.refuse(t, news)
}

// refuse has the API refuse the access token at all replicas at once. The issuer is asked
// once, and every replica serves another token before its caller loses patience.
func (f *fleet) refuse(t *testing.T, news string) {
	n, slowest := len(f.all), time.Duration(0)
	f.serve(t, 12*time.Second, 3*time.Second) // a refresh under way ends
	before, _, _ := f.issuer.counts()
	f.reset()
	f.issuer.revokeAccess()
	var mu sync.Mutex
	var apps sync.WaitGroup
	for k, r := range f.all {
		apps.Go(func() {
			began := time.Now()
			token, err := r.Token(t.Context())
			for tries := 0; err == nil && !f.issuer.good(token.AccessToken) && tries < 2; tries++ {
				token, err = r.Renew(t.Context(), token)
			}
			if err != nil || !f.issuer.good(token.AccessToken) {
				t.Errorf("replica %d after a 401: generation %d, error %v", k, token.Generation, err)
			}
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, time.Since(began))
		})
	}
	apps.Wait()
	f.reset().within(t, news+", 401 at all at once", n, 1, 6, 1.5, 3)
	t.Logf("%s: the slowest of %d replicas had another token %v after the 401", news, n, slowest)
	asked, _, most := f.issuer.counts()
	if asked-before != 1 || most != 1 {
		t.Errorf("401 at %d replicas: %d token requests, a refresh token was redeemed %d times", n, asked-before, most)
	}
}
