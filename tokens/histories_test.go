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
		for _, p := range simulate(t, seed).problems {
			t.Errorf("seed %d: %s", seed, p)
		}
	})
}

func TestHistories(t *testing.T) {
	if *replay != 0 {
		h := simulate(t, *replay)
		t.Log(h.issuer.kind, h.lifetime, "\n"+strings.Join(h.log, "\n"))
		for _, p := range h.problems {
			t.Error(p)
		}
		return
	}
	var next, asked atomic.Uint64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !t.Failed() {
				seed := next.Add(1)
				if seed > uint64(*histories) {
					return
				}
				h := simulate(t, seed)
				asked.Add(uint64(h.issuer.asked))
				for _, p := range h.problems {
					t.Errorf("seed %d (%s, tokens of %v): %s", seed, h.issuer.kind, h.lifetime, p)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d histories with %d token requests", *histories, asked.Load())
}
