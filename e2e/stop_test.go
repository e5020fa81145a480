package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	issuerDeadline = 10 * time.Second // in which a token request is sent
	takeoverDelay  = 40 * time.Second // for which a foreign intent is respected

	// harmless is the shortest stop during a refresh that may cost an account.
	harmless = takeoverDelay
)

// TestStopBeyondTakeover stops one of two processes that share a state
// directory, for shorter and for longer than the other one respects its
// intent, and lets it go on. An account may be lost only if the stop fell into
// its refresh, and the other process took over.
func TestStopBeyondTakeover(t *testing.T) {
	t.Parallel()
	var sum stopTally
	t.Run("worlds", func(t *testing.T) {
		for i, story := range []struct {
			name   string
			moment func(*stopWorld)
			stop   time.Duration
		}{
			{"between refreshes", (*stopWorld).betweenRefreshes, 43 * time.Second},
			{"at a random moment", (*stopWorld).atRandom, 43 * time.Second},
			{"at a random moment", (*stopWorld).atRandom, 43 * time.Second},
			{"at a random moment", (*stopWorld).atRandom, 43 * time.Second},
			{"before the commit", (*stopWorld).beforeCommit, 4 * time.Second},
			{"after the commit", (*stopWorld).afterCommit, 4 * time.Second},
			{"before the commit", (*stopWorld).beforeCommit, 14 * time.Second},
			{"after the commit", (*stopWorld).afterCommit, 14 * time.Second},
			{"before the commit", (*stopWorld).beforeCommit, 43 * time.Second},
			{"after the commit", (*stopWorld).afterCommit, 43 * time.Second},
		} {
			t.Run(fmt.Sprintf("%d %s for %v", i, story.name, story.stop), func(t *testing.T) {
				t.Parallel()
				newStopWorld(t, &sum).run(story.moment, story.stop)
			})
		}
	})
	t.Logf("%d accounts were stopped between refreshes, of which %d were locked, and all live", sum.idle, sum.locked)
	t.Logf("%d were stopped during one: for less than a token request may take %s; for less than the takeover delay %s; for more %s",
		sum.short.count+sum.middle.count+sum.long.count, sum.short, sum.middle, sum.long)
}

type stopTally struct {
	mu                  sync.Mutex
	idle, locked        int
	short, middle, long fates
}

// fates are those of the accounts with a refresh under way.
type fates struct{ count, dead, reuses int }

func (f fates) String() string {
	return fmt.Sprintf("%d (%d dead, %d reuses)", f.count, f.dead, f.reuses)
}

// of returns the fates of accounts stopped for so long.
func (t *stopTally) of(stop time.Duration) *fates {
	switch {
	case stop < issuerDeadline:
		return &t.short
	case stop < takeoverDelay:
		return &t.middle
	}
	return &t.long
}

type stopWorld struct {
	t              *testing.T
	random         *rand.Rand
	providers      map[string]*provider
	dir            string
	stopped, other *proxy
	holder         string // the stopped process, as the state knows it
	sum            *stopTally
}

func newStopWorld(t *testing.T, sum *stopTally) *stopWorld {
	w := &stopWorld{t: t, random: newRandom(t), providers: startSandbox(t, 2*time.Second), dir: t.TempDir(), sum: sum}
	w.stopped, w.other = newProxy(t, w.dir, w.providers), newProxy(t, w.dir, w.providers)
	w.stopped.start()
	w.stopped.awaitAllUsable(30 * time.Second)
	present := holders(t, w.dir)
	if len(present) != 1 {
		t.Fatalf("%d processes are present, want 1", len(present))
	}
	w.holder = present[0]
	w.other.start()
	w.other.awaitAllUsable(30 * time.Second)
	return w
}

func (w *stopWorld) run(moment func(*stopWorld), stop time.Duration) {
	moment(w)
	loads, begun := map[string]*load{}, map[string]bool{}
	for account, provider := range w.providers {
		provider.slow(0, 0)
		begun[account] = readRecord(w.t, w.dir, account).begunBy(w.holder)
		loads[account] = startLoad(w.other, account, 100*time.Millisecond)
	}
	time.Sleep(stop)
	w.stopped.signal(syscall.SIGCONT)
	alive := map[string]bool{}
	for account := range w.providers {
		alive[account] = w.awaitFate(account)
	}
	for account, provider := range w.providers {
		served, failed, example := loads[account].end()
		c := provider.counters()
		if c.MaxRedemptions != 1 {
			w.t.Errorf("%s: a refresh token was redeemed %d times", account, c.MaxRedemptions)
		}
		if begun[account] {
			w.judgeBegun(account, stop, alive[account], c, failed, example)
		} else {
			w.judgeIdle(account, alive[account], c, served, failed, example)
		}
	}
	for account := range w.providers {
		if !alive[account] {
			w.revive(account)
		}
	}
}

// awaitFate waits until both processes serve an account, and go on to, or both
// say that it is dead.
func (w *stopWorld) awaitFate(account string) (alive bool) {
	w.t.Helper()
	await(w.t, 90*time.Second, "both processes agree about "+account, func() bool {
		a, errA := w.stopped.request(account)
		b, errB := w.other.request(account)
		alive = a.ok() && b.ok()
		return errA == nil && errB == nil && (alive || a.code == "login_required" && b.code == "login_required")
	})
	if alive {
		generation := w.other.status(account).Generation
		await(w.t, 30*time.Second, account+" is refreshed again", func() bool {
			return w.other.status(account).Generation > generation
		})
		w.stopped.mustServe(account)
		w.other.mustServe(account)
	}
	return alive
}

// judgeIdle judges an account for which the stopped process had begun nothing.
func (w *stopWorld) judgeIdle(account string, alive bool, c counters, served int, failed map[string]int, example string) {
	if !alive || c.Reuses != 0 {
		w.t.Errorf("%s: alive %t, %+v, though nothing was begun when the process was stopped", account, alive, c)
	}
	// A process may be stopped in the milliseconds in which it stores a record.
	locked := strings.Contains(w.other.stderr.String(), "locked by another process")
	if !locked && (len(failed) > 0 || served == 0) {
		w.t.Errorf("%s: the other process served %d requests, and answered others with %v; the first %s", account, served, failed, example)
	}
	w.sum.mu.Lock()
	defer w.sum.mu.Unlock()
	w.sum.idle++
	if locked {
		w.sum.locked++
	}
}

// judgeBegun judges an account for which the stopped process had begun a
// refresh: the other one may run out of tokens.
func (w *stopWorld) judgeBegun(account string, stop time.Duration, alive bool, c counters, failed map[string]int, example string) {
	if stop < harmless && (!alive || c.Reuses != 0) {
		w.t.Errorf("%s: alive %t, %+v after a stop of %v, of which the other process was to see nothing but a delay", account, alive, c, stop)
	}
	for _, what := range slices.Sorted(maps.Keys(failed)) {
		if what != "503 token_unavailable" && !(what == "503 login_required" && !alive) {
			w.t.Errorf("%s: the other process answered %q %d times; the first answer %s", account, what, failed[what], example)
		}
	}
	w.sum.mu.Lock()
	defer w.sum.mu.Unlock()
	f := w.sum.of(stop)
	f.count++
	f.reuses += c.Reuses
	if !alive {
		f.dead++
	}
}

// revive gives a dead account a new seed at one process. The other one still
// has the old seed.
func (w *stopWorld) revive(account string) {
	w.stopped.mustBeDead(account)
	reason := w.other.mustBeDead(account)
	w.t.Logf("%s is dead: %s", account, reason)
	w.providers[account].reseed()
	if code := w.other.terminate(30 * time.Second); code != 0 {
		w.t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	w.other.start()
	w.other.awaitUsable(account, 30*time.Second)
	if !w.awaitFate(account) {
		w.t.Errorf("%s is still dead with a new seed", account)
	}
}

func (w *stopWorld) atRandom() {
	time.Sleep(upTo(w.random, 3*time.Second))
	w.stopped.signal(syscall.SIGSTOP)
}

func (w *stopWorld) betweenRefreshes() {
	stopBetweenRefreshes(w.t, w.random, w.stopped)
}

func (w *stopWorld) beforeCommit() {
	w.duringRefresh(time.Second, 0, func(*provider, *record) bool { return true })
}

func (w *stopWorld) afterCommit() {
	w.duringRefresh(0, time.Second, func(p *provider, r *record) bool {
		return p.counters().Redemptions > r.Generation
	})
}

// duringRefresh stops the process in a refresh that it has begun, for which
// reached is true, while the issuer takes its time.
func (w *stopWorld) duringRefresh(beforeCommit, afterCommit time.Duration, reached func(*provider, *record) bool) {
	for _, p := range w.providers {
		p.slow(beforeCommit, afterCommit)
	}
	await(w.t, time.Minute, "the process has begun a refresh", func() bool {
		for account, p := range w.providers {
			if r := readRecord(w.t, w.dir, account); r.begunBy(w.holder) && reached(p, r) {
				return true
			}
		}
		return false
	})
	time.Sleep(upTo(w.random, 700*time.Millisecond))
	w.stopped.signal(syscall.SIGSTOP)
}
