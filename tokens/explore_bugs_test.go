package tokens

import (
	"strings"
	"testing"
)

// TestExploreFindsBugs tests that the exploration finds protocols that are broken on
// purpose, each by what goes wrong, and prints the shortest history.
func TestExploreFindsBugs(t *testing.T) {
	t.Parallel()
	const (
		twice     = "a refresh token is sent twice"
		lost      = "is lost, and no fault lost it"
		published = "an access token is published before"
	)
	for _, test := range []struct {
		bug    bug
		faults int8
		wrong  string
	}{
		{noIntent, 0, twice},
		{noComparison, 0, twice},
		{noDelay, 0, twice},
		{publishFirst, 0, published},
		{noStaleness, 1, twice},
		{claimUnknownIsWon, 1, twice},
		{saveUnknownIsStored, 1, published},
		{saveUnknownIsFailed, 1, twice},
		{conflictDrops, 1, lost},
		{lossIsIgnored, 1, twice},
	} {
		t.Run(string(test.bug), func(t *testing.T) {
			t.Parallel()
			e := explorer{replicas: 2, faults: test.faults, revoke: true, clock: coarse(), bug: test.bug}
			e.storeLoss = test.bug == lossIsIgnored
			s := newExplorer(e).explain()
			if s.found == nil {
				t.Fatalf("%d states, and nothing was found", s.seen.n)
			}
			t.Logf("after %d states: %v", s.seen.n, s.found)
			if !strings.Contains(s.found.wrong, test.wrong) {
				t.Errorf("found %q, want %q", s.found.wrong, test.wrong)
			}
		})
	}
}
