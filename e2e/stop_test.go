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
	issuerDeadline = 10 * time.Second // time limit of a token request
	takeoverDelay  = 60 * time.Second // how long a process respects another's intent

	// minHarmfulStop is the shortest stop during a refresh that may lose an account.
	minHarmfulStop = takeoverDelay
)

// TestStopOneOfTwoProcesses stops one of two processes that share a state directory
// with SIGSTOP, and continues it later. Some stops are longer than the takeover
// delay. An account may be lost only if the process was stopped during the account's
// refresh and the other process took over.
func TestStopOneOfTwoProcesses(t *testing.T) {
	t.Parallel()
	var sum stopTally
	t.Run("instances", func(t *testing.T) {
		for i, scenario := range []struct {
			name   string
			moment func(*stopFixture)
			stop   time.Duration
		}{
			{"between refreshes", (*stopFixture).betweenRefreshes, 63 * time.Second},
			{"at a random moment", (*stopFixture).atRandom, 63 * time.Second},
			{"at a random moment", (*stopFixture).atRandom, 63 * time.Second},
			{"at a random moment", (*stopFixture).atRandom, 63 * time.Second},
			{"before the commit", (*stopFixture).beforeCommit, 4 * time.Second},
			{"after the commit", (*stopFixture).afterCommit, 4 * time.Second},
			{"before the commit", (*stopFixture).beforeCommit, 14 * time.Second},
			{"after the commit", (*stopFixture).afterCommit, 14 * time.Second},
			{"before the commit", (*stopFixture).beforeCommit, 63 * time.Second},
			{"after the commit", (*stopFixture).afterCommit, 63 * time.Second},
		} {
			t.Run(fmt.Sprintf("%d %s for %v", i, scenario.name, scenario.stop), func(t *testing.T) {
				t.Parallel()
				newStopFixture(t, &sum).run(scenario.moment, scenario.stop)
			})
		}
	})
	t.Logf("%d accounts were stopped between refreshes, of which %d were locked; all are usable", sum.idle, sum.locked)
	t.Logf("%d were stopped during a refresh: for less than a token request may take: %s; "+
		"for less than the takeover delay: %s; for longer: %s",
		sum.short.count+sum.middle.count+sum.long.count, sum.short, sum.middle, sum.long)
}

type stopTally struct {
	mu                  sync.Mutex
	idle, locked        int
	short, middle, long outcomes
}

// outcomes count the accounts that were stopped during a refresh.
type outcomes struct{ count, dead, reuses int }

func (o outcomes) String() string {
	return fmt.Sprintf("%d (%d dead, %d reuses)", o.count, o.dead, o.reuses)
}

// of returns the outcomes for a length of stop.
func (t *stopTally) of(stop time.Duration) *outcomes {
	switch {
	case stop < issuerDeadline:
		return &t.short
	case stop < takeoverDelay:
		return &t.middle
	}
	return &t.long
}

type stopFixture struct {
	t              *testing.T
	random         *rand.Rand
	providers      map[string]*provider
	dir            string
	stopped, other *proxy
	holder         string // name of the stopped process in the state
	sum            *stopTally
}

func newStopFixture(t *testing.T, sum *stopTally) *stopFixture {
	f := &stopFixture{t: t, random: newRandom(t), providers: startSandbox(t, 2*time.Second), dir: t.TempDir(), sum: sum}
	f.stopped, f.other = newProxy(t, f.dir, f.providers), newProxy(t, f.dir, f.providers)
	f.stopped.start()
	f.stopped.awaitAllUsable(30 * time.Second)
	present := holders(t, f.dir)
	if len(present) != 1 {
		t.Fatalf("%d holder files, want 1", len(present))
	}
	f.holder = present[0]
	f.other.start()
	f.other.awaitAllUsable(30 * time.Second)
	return f
}

func (f *stopFixture) run(moment func(*stopFixture), stop time.Duration) {
	moment(f)
	loads, begun := map[string]*load{}, map[string]bool{}
	for account, provider := range f.providers {
		provider.slow(0, 0)
		begun[account] = readRecord(f.t, f.dir, account).begunBy(f.holder)
		loads[account] = startLoad(f.other, account, 100*time.Millisecond)
	}
	time.Sleep(stop)
	f.stopped.signal(syscall.SIGCONT)
	alive := map[string]bool{}
	for account := range f.providers {
		alive[account] = f.awaitAgreement(account)
	}
	for account, provider := range f.providers {
		served, failed, example := loads[account].end()
		c := provider.counters()
		if c.MaxRedemptions != 1 {
			f.t.Errorf("%s: a refresh token was redeemed %d times", account, c.MaxRedemptions)
		}
		if begun[account] {
			f.checkRefreshing(account, stop, alive[account], c, failed, example)
		} else {
			f.checkIdle(account, alive[account], c, served, failed, example)
		}
	}
	for account := range f.providers {
		if !alive[account] {
			f.revive(account)
		}
	}
}

// awaitAgreement waits until both processes serve an account, or both report it as
// dead. If both serve it, they must still do so after the next refresh.
func (f *stopFixture) awaitAgreement(account string) (alive bool) {
	f.t.Helper()
	await(f.t, 90*time.Second, "both processes agree about "+account, func() bool {
		a, errA := f.stopped.request(account)
		b, errB := f.other.request(account)
		alive = a.ok() && b.ok()
		return errA == nil && errB == nil && (alive || a.code == "login_required" && b.code == "login_required")
	})
	if alive {
		generation := f.other.status(account).Generation
		await(f.t, 30*time.Second, account+" is refreshed again", func() bool {
			return f.other.status(account).Generation > generation
		})
		f.stopped.mustServe(account)
		f.other.mustServe(account)
	}
	return alive
}

// checkIdle checks an account for which the stopped process had begun no refresh.
func (f *stopFixture) checkIdle(account string, alive bool, c counters, served int,
	failed map[string]int, example string) {
	if !alive || c.Reuses != 0 {
		f.t.Errorf("%s: alive %t, %+v, want alive and no reuse after a stop between refreshes", account, alive, c)
	}
	// The process may have been stopped while it held the lock to store a record.
	locked := strings.Contains(f.other.stderr.String(), "locked by another process")
	if !locked && (len(failed) > 0 || served == 0) {
		f.t.Errorf("%s: the other process served %d requests and failed others: %v; the first: %s",
			account, served, failed, example)
	}
	f.sum.mu.Lock()
	defer f.sum.mu.Unlock()
	f.sum.idle++
	if locked {
		f.sum.locked++
	}
}

// checkRefreshing checks an account for which the stopped process had begun a
// refresh. The other process may run out of tokens.
func (f *stopFixture) checkRefreshing(account string, stop time.Duration, alive bool, c counters,
	failed map[string]int, example string) {
	if stop < minHarmfulStop && (!alive || c.Reuses != 0) {
		f.t.Errorf("%s: alive %t, %+v after a stop of %v, want alive and no reuse", account, alive, c, stop)
	}
	for _, what := range slices.Sorted(maps.Keys(failed)) {
		if what != "503 token_unavailable" && !(what == "503 login_required" && !alive) {
			f.t.Errorf("%s: the other process answered %q %d times; the first: %s",
				account, what, failed[what], example)
		}
	}
	f.sum.mu.Lock()
	defer f.sum.mu.Unlock()
	o := f.sum.of(stop)
	o.count++
	o.reuses += c.Reuses
	if !alive {
		o.dead++
	}
}

// revive restarts one process with a new seed for a dead account. The other process
// still has the old seed.
func (f *stopFixture) revive(account string) {
	f.stopped.mustBeDead(account)
	reason := f.other.mustBeDead(account)
	f.t.Logf("%s is dead: %s", account, reason)
	f.providers[account].reseed()
	if code := f.other.terminate(30 * time.Second); code != 0 {
		f.t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	f.other.start()
	f.other.awaitUsable(account, 30*time.Second)
	if !f.awaitAgreement(account) {
		f.t.Errorf("%s is still dead after a new seed", account)
	}
}

func (f *stopFixture) atRandom() {
	time.Sleep(randomUpTo(f.random, 3*time.Second))
	f.stopped.signal(syscall.SIGSTOP)
}

func (f *stopFixture) betweenRefreshes() {
	stopBetweenRefreshes(f.t, f.random, f.stopped)
}

func (f *stopFixture) beforeCommit() {
	f.duringRefresh(time.Second, 0, func(*provider, *record) bool { return true })
}

func (f *stopFixture) afterCommit() {
	f.duringRefresh(0, time.Second, func(p *provider, r *record) bool {
		return p.counters().Redemptions > r.Generation
	})
}

// duringRefresh delays the token responses and stops the process during a refresh
// for which reached returns true.
func (f *stopFixture) duringRefresh(beforeCommit, afterCommit time.Duration, reached func(*provider, *record) bool) {
	for _, p := range f.providers {
		p.slow(beforeCommit, afterCommit)
	}
	await(f.t, time.Minute, "the process has begun a refresh", func() bool {
		for account, p := range f.providers {
			if r := readRecord(f.t, f.dir, account); r.begunBy(f.holder) && reached(p, r) {
				return true
			}
		}
		return false
	})
	time.Sleep(randomUpTo(f.random, 700*time.Millisecond))
	f.stopped.signal(syscall.SIGSTOP)
}
