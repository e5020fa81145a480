package tokens_test

import (
	"flag"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	histories = flag.Int("histories", defaultHistories, "how many histories the simulator runs")
	replay    = flag.Uint64("seed", 0, "run only the history of this seed, and print it")
)

// FuzzHistories runs histories of any seed.
func FuzzHistories(f *testing.F) {
	f.Add(uint64(1 << 32))
	f.Fuzz(func(t *testing.T, seed uint64) {
		for _, p := range simulate(t, seed, mutantNone).problems {
			t.Errorf("seed %d: %s", seed, p)
		}
	})
}

func TestHistories(t *testing.T) {
	if *replay != 0 {
		h := simulate(t, *replay, mutantNone)
		t.Log(h.issuer.kind, h.lifetime, "\n"+strings.Join(h.log, "\n"))
		for _, p := range h.problems {
			t.Error(p)
		}
		return
	}
	var next, asked atomic.Uint64
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !t.Failed() {
				seed := next.Add(1)
				if seed > uint64(*histories) {
					return
				}
				h := simulate(t, seed, mutantNone)
				asked.Add(uint64(h.issuer.asked))
				mu.Lock()
				for event, n := range h.seen {
					seen[event] += n
				}
				mu.Unlock()
				for _, p := range h.problems {
					t.Errorf("seed %d (%s, tokens of %v): %s", seed, h.issuer.kind, h.lifetime, p)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d histories with %d token requests", *histories, asked.Load())
	for _, event := range requiredEvents() {
		t.Logf("%7d times: %s", seen[event], event)
		if seen[event] == 0 && *histories >= 1000 {
			t.Errorf("%q happened in no history", event)
		}
	}
}

// requiredEvents are the events that a thousand histories must have to test enough: each
// fault, and a pause and a crash at each step of a process.
func requiredEvents() []string {
	all := []string{
		"kill", "damaged record", "conflict", "store is down before load", "store is down before swap",
		"outcome unknown, nothing written", "outcome unknown, written", "issuer is down", "not sent", "lost request",
		"lost answer", "duplicated request", "throttled", "client refused", "invalid refresh token", "death",
		"write of a crashed process", "deleted record", "restored record",
	}
	for _, step := range []string{"before load", "before swap", "after swap", "before the request", "before the answer"} {
		all = append(all, "pause "+step, "crash "+step)
	}
	return all
}

// TestMutantsAreCaught checks that histories find a protocol that is broken on purpose.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mutant{
		"claims always": mutantClaimsAlways, "forgets grants": mutantForgetsGrants, "gone early": mutantGoneEarly,
		"trusts losses": mutantTrustsLosses,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(2000) {
				if len(simulate(t, seed+1, m).problems) > 0 {
					return
				}
			}
			t.Error("2000 histories found nothing")
		})
	}
}
