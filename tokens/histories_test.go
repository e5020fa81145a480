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
	histories = flag.Int("histories", everyday, "how many histories the simulator runs")
	replay    = flag.Uint64("seed", 0, "run only the history of this seed, and print it")
)

// FuzzHistories goes on where TestHistories ends.
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
				for what, n := range h.seen {
					seen[what] += n
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
	for _, what := range happenings() {
		t.Logf("%7d times: %s", seen[what], what)
		if seen[what] == 0 && *histories >= 1000 {
			t.Errorf("%q happened in no history", what)
		}
	}
}

// happenings are what must happen in a thousand histories, so that they mean
// something: each fault, and each step at which a process can pause or crash.
func happenings() []string {
	all := []string{
		"kill", "damaged record", "conflict", "store is down before load", "store is down before swap",
		"outcome unknown, nothing written", "outcome unknown, written", "issuer is down", "not sent", "lost request",
		"lost answer", "duplicated request", "throttled", "client refused", "invalid refresh token", "death",
	}
	for _, step := range []string{"before load", "before swap", "after swap", "before the request", "before the answer"} {
		all = append(all, "pause "+step, "crash "+step)
	}
	return all
}

// TestMutantsAreCaught: histories in which the protocol is broken on purpose are
// found to be.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mutant{"claims always": mutantClaimsAlways, "forgets grants": mutantForgetsGrants} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(200) {
				if len(simulate(t, seed+1, m).problems) > 0 {
					return
				}
			}
			t.Error("200 histories found nothing")
		})
	}
}
