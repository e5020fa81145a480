package tokens

import (
	"testing"
	"time"

	"ticketproxy/secret"
)

// TestSuspendedMachine checks that a token is judged by both clocks. The monotonic clock
// stands still while a machine is suspended.
func TestSuspendedMachine(t *testing.T) {
	t.Parallel()
	now := time.Now()
	rec := Record{Grant: Grant{AccessToken: secret.New("a"), Obtained: now, Expiry: now.Add(time.Hour)}}
	v := newSnapshot(rec, 0.5)
	if !v.usable(now) || v.due(now) {
		t.Error("a fresh token is not used")
	}
	v.wall = now.Add(-time.Second).Round(0) // as if the other clock had gone on
	if v.usable(now) || !v.due(now) {
		t.Error("a token that expired while the machine was suspended is used")
	}
	stepped := newSnapshot(rec, 0.5)
	stepped.wall = now.Add(48 * time.Hour).Round(0) // as if the other clock was set back
	if stepped.usable(now.Add(2 * time.Hour)) {
		t.Error("a token that expired is used, because a clock was set back")
	}
}

func TestMarginsAreSharesOfTheLifetime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, life := range []time.Duration{2 * time.Second, 10 * time.Minute, time.Hour, 72 * time.Hour, 10 * 365 * 24 * time.Hour} {
		rec := Record{Grant: Grant{AccessToken: secret.New("a"), Obtained: now, Expiry: now.Add(life)}}
		for _, random := range []float64{0, 0.5, 0.999} {
			v := newSnapshot(rec, random)
			at := float64(v.refreshAt.Sub(now)) / float64(life)
			if at < 0.6-1e-6 || at > 0.734 {
				t.Errorf("a token of %v is refreshed at %v of its life", life, at)
			}
			if last := v.expiry.Sub(now); last < life*98/100 || last >= life {
				t.Errorf("a token of %v is sent until %v", life, last)
			}
		}
	}
}
