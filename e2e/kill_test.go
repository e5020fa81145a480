package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// killInstances is the number of instances that are killed in parallel.
const killInstances = 4

// TestKillAtRandomMoments kills the program many times, and restarts it with seeds
// that are already spent. An account may be lost only if a token response was under
// way when the program was killed. The account's reason must say so.
func TestKillAtRandomMoments(t *testing.T) {
	t.Parallel()
	var sum killTally
	t.Run("instances", func(t *testing.T) {
		for i := range killInstances {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				share := *kills / killInstances
				if i < *kills%killInstances {
					share++
				}
				newKillFixture(t).run(share, &sum)
			})
		}
	})
	t.Logf("%d kills of three accounts each, %d redemptions", sum.kills, sum.redemptions)
	t.Logf("%d accounts lost because a token response did not arrive", sum.neverArrived)
	t.Logf("%d accounts lost because the new record was written incompletely", sum.halfWritten)
	t.Logf("%d accounts recovered from a new record that was complete and not yet renamed", sum.finished)
	t.Logf("%d accounts lost for another reason", sum.unexplained)
	t.Logf("%d reuses, all after a lost token response", sum.reuses)
}

type killTally struct {
	mu                         sync.Mutex
	kills, redemptions, reuses int
	neverArrived, halfWritten  int
	finished, unexplained      int
}

func (t *killTally) add(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
}

// A killAccount is an account of the program under test.
type killAccount struct {
	*provider
	// ahead is the generation minus the redemptions while no response is lost. A new
	// seed counts as a generation.
	ahead    int
	lost     bool // whether the newest token response is lost; the program may not know yet
	finished int  // newest generation whose write the next process had to finish
	last     counters
}

type killFixture struct {
	t        *testing.T
	random   *rand.Rand
	proxy    *proxy
	accounts []*killAccount
	sum      *killTally
}

func newKillFixture(t *testing.T) *killFixture {
	providers := startSandbox(t, 2*time.Second)
	f := &killFixture{t: t, random: newRandom(t), proxy: newProxy(t, t.TempDir(), providers)}
	for _, account := range f.proxy.accounts() {
		f.accounts = append(f.accounts, &killAccount{provider: providers[account]})
	}
	return f
}

func (f *killFixture) run(kills int, sum *killTally) {
	f.sum = sum
	for range kills {
		f.proxy.start()
		f.awaitMoment()
		f.proxy.kill()
		sum.add(func() { sum.kills++ })
		for _, a := range f.accounts {
			a.slow(0, 0)
			a.awaitNoConnections()
			f.examine(a)
		}
	}
	f.proxy.start()
	f.reseedDead()
	if code := f.proxy.terminate(30 * time.Second); code != 0 {
		f.t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	f.proxy.start()
	f.proxy.awaitAllUsable(30 * time.Second)
	for _, a := range f.accounts {
		f.proxy.awaitServed(a.name, 30*time.Second)
		c := a.counters()
		sum.add(func() {
			sum.redemptions += c.Redemptions
			sum.reuses += c.Reuses
		})
	}
}

// awaitMoment returns at the moment to kill the program.
func (f *killFixture) awaitMoment() {
	switch f.random.IntN(10) {
	case 0, 1:
		time.Sleep(randomUpTo(f.random, 2500*time.Millisecond))
	case 2, 3, 4:
		f.reseedDead()
		time.Sleep(randomUpTo(f.random, 2500*time.Millisecond))
	case 5, 6, 7:
		f.awaitTokenRequest(200 * time.Millisecond)
		time.Sleep(randomUpTo(f.random, 500*time.Millisecond))
	default:
		const slow = 50 * time.Millisecond
		f.awaitTokenRequest(slow)
		time.Sleep(2*slow - 5*time.Millisecond + randomUpTo(f.random, 15*time.Millisecond))
	}
}

// awaitTokenRequest delays the token responses before and after the commit, and
// waits for a token request for an account that is not lost.
func (f *killFixture) awaitTokenRequest(slow time.Duration) {
	before := map[*killAccount]int{}
	for _, a := range f.accounts {
		a.slow(slow, slow)
		if !a.lost {
			before[a] = a.counters().TokenRequests
		}
	}
	await(f.t, 90*time.Second, "a token request", func() bool {
		for a, n := range before {
			if a.counters().TokenRequests > n {
				return true
			}
		}
		return len(before) == 0
	})
}

// reseedDead waits until every account is usable or reported dead. It gives dead
// accounts a new seed and restarts the program.
func (f *killFixture) reseedDead() {
	dead := false
	for _, a := range f.accounts {
		if !a.lost {
			f.proxy.awaitUsable(a.name, 90*time.Second)
			f.proxy.awaitServed(a.name, 30*time.Second)
			continue
		}
		await(f.t, 90*time.Second, a.name+", whose token response was lost, is dead", func() bool {
			return f.proxy.status(a.name).State == "dead"
		})
		if reason := f.proxy.mustBeDead(a.name); !strings.Contains(reason, "lost") {
			f.t.Errorf("%s: the reason of the dead account does not say that an answer was lost: %s", a.name, reason)
		}
		dead = true
	}
	if !dead {
		return
	}
	f.proxy.kill()
	for _, a := range f.accounts {
		a.awaitNoConnections()
		f.examine(a)
		if a.lost && readRecord(f.t, f.proxy.dir, a.name).Dead != nil {
			a.revive(readRecord(f.t, f.proxy.dir, a.name))
		}
	}
	f.proxy.start()
	for _, a := range f.accounts {
		if !a.lost {
			f.proxy.awaitUsable(a.name, 90*time.Second)
			f.proxy.awaitServed(a.name, 30*time.Second)
		}
	}
}

// revive gives a dead account a new seed, which begins a new generation.
func (a *killAccount) revive(r *record) {
	a.reseed()
	a.ahead = r.Generation + 1 - a.last.Redemptions
	a.lost = false
}

// examine compares the record that a killed program has stored with what the issuer
// has committed.
func (f *killFixture) examine(a *killAccount) {
	c, r := a.counters(), readRecord(f.t, f.proxy.dir, a.name)
	last := a.last
	a.last = c
	if c.MaxRedemptions > 1 {
		f.t.Errorf("%s: a refresh token was redeemed %d times", a.name, c.MaxRedemptions)
	}
	if a.lost {
		return
	}
	if c.Reuses != last.Reuses || c.FamiliesRevoked != last.FamiliesRevoked || c.InvalidGrants != last.InvalidGrants {
		f.t.Errorf("%s: the issuer's counters went from %+v to %+v, though no token response was lost", a.name, last, c)
	}
	if r == nil || !r.descendsFrom(a.seed) { // not even the seed was stored yet
		if c.Redemptions != last.Redemptions {
			f.t.Errorf("%s: the program spent a seed that it had not stored", a.name)
		}
		return
	}
	missing := c.Redemptions + a.ahead - r.Generation
	if missing == 0 && r.Dead == nil {
		return
	}
	if missing == 1 && r.Dead == nil && r.Intent != nil {
		left := findTempFile(f.t, f.proxy.dir, a.name, r.Intent.Holder, r.Generation+1)
		if left.isComplete() || a.finished <= r.Generation {
			f.lose(a, r.Generation+1, left)
			return
		}
	}
	f.sum.add(func() { f.sum.unexplained++ })
	f.t.Fatalf("%s is lost, and no lost token response explains it: %+v, record %+v, %d ahead", a.name, c, r, a.ahead)
}

// lose notes that the newest redemption's generation is not in the record. It may be
// in the killed process's temporary file.
func (f *killFixture) lose(a *killAccount, generation int, left *tempFile) {
	f.sum.add(func() {
		switch {
		case left == nil:
			a.lost = true
			f.sum.neverArrived++
		case !left.isComplete():
			a.lost = true
			f.sum.halfWritten++
		case a.finished < generation:
			a.finished = generation
			f.sum.finished++
		}
	})
}
