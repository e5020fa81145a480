package tokens

import (
	"flag"
	"testing"
)

var (
	exploreReplicas = flag.Int("explore.replicas", 0, "how many replicas TestExplore has; 0 for its own choice")
	exploreFaults   = flag.Int("explore.faults", -1, "how many faults TestExplore has; -1 for its own choice")
)

// coarse is a clock on which time passes only while nobody holds a claim.
func coarse() clock { return clock{takeover: 1} }

// fine is a clock with ticks of 10 s, by which a claim takes up to 10 s, a token request up
// to 30 s, and a save up to 10 s. The takeover delay has one tick more than these, because a
// replica that looks between two ticks counts the first one as a whole.
func fine() clock { return clock{takeover: 6, claim: 1, request: 3, save: 1} }

// An exploration is what TestExplore explores in CI. Each replica, each fault and each tick
// more multiplies the states.
type exploration struct {
	name string
	explorer
}

func explorations() []exploration {
	return []exploration{
		{"reuse is refused", explorer{replicas: 2, faults: 1, clock: coarse()}},
		{"reuse revokes", explorer{replicas: 2, faults: 2, clock: coarse(), revoke: true}},
		{"ends are known", explorer{replicas: 2, faults: 1, clock: coarse(), revoke: true, presence: true}},
		{"records are lost", explorer{replicas: 2, faults: 1, clock: coarse(), revoke: true, presence: true, storeLoss: true}},
		{"all is slow", explorer{replicas: 2, faults: 1, clock: fine(), revoke: true}},
		{"three replicas", explorer{replicas: 3, faults: 1, clock: coarse(), revoke: true}},
	}
}

// TestExplore goes through every history of replicas that obtain two generations.
func TestExplore(t *testing.T) {
	t.Parallel()
	for _, e := range explorations() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			e := e.explorer
			e.replicas, e.faults = min(e.replicas, mostReplicas), min(e.faults, mostFaults)
			if *exploreReplicas > 0 {
				e.replicas = *exploreReplicas
			}
			if *exploreFaults >= 0 {
				e.faults = int8(*exploreFaults)
			}
			s := newExplorer(e).explore()
			t.Logf("%d replicas, %d faults: %d states, %d moves, the farthest state is %d moves away",
				e.replicas, e.faults, s.seen.n, s.moves, s.deepest)
			if s.found != nil {
				t.Error(newExplorer(e).explain().found)
			}
		})
	}
}
