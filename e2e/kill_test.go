package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// worlds is how many instances are killed side by side.
const worlds = 4

// TestKillAtRandomMoments kills the program over and over, and starts it again
// with the seeds that it spent long ago. An account may be lost only with an
// answer that was under way when the program died, and must say so.
func TestKillAtRandomMoments(t *testing.T) {
	t.Parallel()
	var sum killTally
	t.Run("worlds", func(t *testing.T) {
		for i := range worlds {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				share := *kills / worlds
				if i < *kills%worlds {
					share++
				}
				newKillWorld(t).run(share, &sum)
			})
		}
	})
	t.Logf("%d kills of three accounts each, %d redemptions", sum.kills, sum.redemptions)
	t.Logf("%d accounts lost to an answer that never arrived", sum.neverArrived)
	t.Logf("%d accounts lost in the write of the new record, which was not whole", sum.halfWritten)
	t.Logf("%d accounts saved by a new record that was whole, and not yet in its place", sum.finished)
	t.Logf("%d accounts lost otherwise", sum.unexplained)
	t.Logf("%d reuses, all after a lost answer", sum.reuses)
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

// A patient is an account of a program that is killed.
type patient struct {
	*provider
	// ahead is the generation less the redemptions, while no answer is lost:
	// a new seed counts as a generation.
	ahead    int
	lost     bool // the answer to the newest redemption; the program may not know yet
	finished int  // the newest generation whose write the next process had to finish
	last     counters
}

type killWorld struct {
	t        *testing.T
	random   *rand.Rand
	proxy    *proxy
	patients []*patient
	sum      *killTally
}

func newKillWorld(t *testing.T) *killWorld {
	providers := startSandbox(t, 2*time.Second)
	w := &killWorld{t: t, random: newRandom(t), proxy: newProxy(t, t.TempDir(), providers)}
	for _, account := range w.proxy.accounts() {
		w.patients = append(w.patients, &patient{provider: providers[account]})
	}
	return w
}

func (w *killWorld) run(kills int, sum *killTally) {
	w.sum = sum
	for range kills {
		w.proxy.start()
		w.awaitMoment()
		w.proxy.kill()
		sum.add(func() { sum.kills++ })
		for _, p := range w.patients {
			p.slow(0, 0)
			p.settle()
			w.examine(p)
		}
	}
	w.proxy.start()
	w.buryTheDead()
	if code := w.proxy.terminate(30 * time.Second); code != 0 {
		w.t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	w.proxy.start()
	w.proxy.awaitAllUsable(30 * time.Second)
	for _, p := range w.patients {
		w.proxy.awaitServed(p.name, 30*time.Second)
		c := p.counters()
		sum.add(func() {
			sum.redemptions += c.Redemptions
			sum.reuses += c.Reuses
		})
	}
}

// awaitMoment returns when the program is to be killed.
func (w *killWorld) awaitMoment() {
	switch w.random.IntN(10) {
	case 0, 1:
		time.Sleep(upTo(w.random, 2500*time.Millisecond))
	case 2, 3, 4:
		w.buryTheDead()
		time.Sleep(upTo(w.random, 2500*time.Millisecond))
	case 5, 6, 7:
		w.awaitTokenRequest(200 * time.Millisecond)
		time.Sleep(upTo(w.random, 500*time.Millisecond))
	default:
		const slow = 50 * time.Millisecond
		w.awaitTokenRequest(slow)
		time.Sleep(2*slow - 5*time.Millisecond + upTo(w.random, 15*time.Millisecond))
	}
}

// awaitTokenRequest slows the issuers down on either side of the commit, and
// returns when one of them is asked for an account that lives.
func (w *killWorld) awaitTokenRequest(slow time.Duration) {
	before := map[*patient]int{}
	for _, p := range w.patients {
		p.slow(slow, slow)
		if !p.lost {
			before[p] = p.counters().TokenRequests
		}
	}
	await(w.t, 90*time.Second, "a token request", func() bool {
		for p, n := range before {
			if p.counters().TokenRequests > n {
				return true
			}
		}
		return len(before) == 0
	})
}

// buryTheDead waits until every account is usable or known to be dead. Those
// that died get a new seed and, with a restart, live again.
func (w *killWorld) buryTheDead() {
	dead := false
	for _, p := range w.patients {
		if !p.lost {
			w.proxy.awaitUsable(p.name, 90*time.Second)
			w.proxy.awaitServed(p.name, 30*time.Second)
			continue
		}
		await(w.t, 90*time.Second, p.name+", whose answer was lost, is dead", func() bool {
			return w.proxy.status(p.name).State == "dead"
		})
		if reason := w.proxy.mustBeDead(p.name); !strings.Contains(reason, "lost") {
			w.t.Errorf("%s is dead and does not say that an answer was lost: %s", p.name, reason)
		}
		dead = true
	}
	if !dead {
		return
	}
	w.proxy.kill()
	for _, p := range w.patients {
		p.settle()
		w.examine(p)
		if p.lost && readRecord(w.t, w.proxy.dir, p.name).Dead != nil {
			p.revive(readRecord(w.t, w.proxy.dir, p.name))
		}
	}
	w.proxy.start()
	for _, p := range w.patients {
		if !p.lost {
			w.proxy.awaitUsable(p.name, 90*time.Second)
			w.proxy.awaitServed(p.name, 30*time.Second)
		}
	}
}

// revive gives a dead account a new seed, which begins a new generation.
func (p *patient) revive(r *record) {
	p.reseed()
	p.ahead = r.Generation + 1 - p.last.Redemptions
	p.lost = false
}

// examine compares what a killed program has stored of an account with what
// its issuer has committed.
func (w *killWorld) examine(p *patient) {
	c, r := p.counters(), readRecord(w.t, w.proxy.dir, p.name)
	last := p.last
	p.last = c
	if c.MaxRedemptions > 1 {
		w.t.Errorf("%s: a refresh token was redeemed %d times", p.name, c.MaxRedemptions)
	}
	if p.lost {
		return
	}
	if c.Reuses != last.Reuses || c.FamiliesRevoked != last.FamiliesRevoked || c.InvalidGrants != last.InvalidGrants {
		w.t.Errorf("%s: the issuer's counters went from %+v to %+v while no answer was lost", p.name, last, c)
	}
	if r == nil || !r.descendsFrom(p.seed) { // not even the seed was stored yet
		if c.Redemptions != last.Redemptions {
			w.t.Errorf("%s: a seed was spent that was not stored", p.name)
		}
		return
	}
	missing := c.Redemptions + p.ahead - r.Generation
	if missing == 0 && r.Dead == nil {
		return
	}
	if missing == 1 && r.Dead == nil && r.Intent != nil {
		left := findLeftover(w.t, w.proxy.dir, p.name, r.Intent.Holder, r.Generation+1)
		if left.isWhole() || p.finished <= r.Generation {
			w.lose(p, r.Generation+1, left)
			return
		}
	}
	w.sum.add(func() { w.sum.unexplained++ })
	w.t.Fatalf("%s is lost, and no lost answer explains it: %+v, record %+v, %d ahead", p.name, c, r, p.ahead)
}

// lose notes that the newest redemption gave a generation which is not in the
// record, but perhaps in what a killed process has left.
func (w *killWorld) lose(p *patient, generation int, left *leftover) {
	w.sum.add(func() {
		switch {
		case left == nil:
			p.lost = true
			w.sum.neverArrived++
		case !left.isWhole():
			p.lost = true
			w.sum.halfWritten++
		case p.finished < generation:
			p.finished = generation
			w.sum.finished++
		}
	})
}
