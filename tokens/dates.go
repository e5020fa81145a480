package tokens

import (
	"time"

	"go.uber.org/zap"
)

// assumedAge is the share of its lifetime that an access token of unknown age is
// taken to have lived: it is due for a refresh, and serves meanwhile.
const assumedAge = 0.75

// datedLocked returns rec with the times that this process plans by. Those of the
// grant that is held have monotonic readings. A grant from the future gets new
// ones.
func (r *Refresher) datedLocked(rec Record) Record {
	if r.saving != saveNothing && rec.Generation == r.held.Generation && rec.Grant.Same(r.held.Grant) {
		rec.Grant = r.held.Grant
		return rec
	}
	now := time.Now()
	if !rec.Grant.fromFuture(rec.Grant.Obtained, now) {
		return rec
	}
	age := assumedAge
	if r.saving != saveNothing && rec.Generation > r.held.Generation { // another process has just obtained it
		age = 0
	}
	r.config.Log.Warn("record is dated in the future: this clock, or the one that dated it, is wrong",
		zap.Uint64("generation", rec.Generation), zap.Time("obtained", rec.Grant.Obtained))
	rec.Grant = rec.Grant.redated(now, age)
	return rec
}

// fromFuture reports whether a time of the grant was told by another clock, or
// by this one before it was set back.
func (g Grant) fromFuture(t, now time.Time) bool {
	tolerance := leastSkew
	if life := g.Lifetime(); life > 0 {
		tolerance = min(tolerance, life/10)
	}
	return t.Sub(now) > tolerance
}

// redated returns a grant from the future as it is now if its access token has
// lived for a share of its lifetime. No token lives longer than its whole
// lifetime from now.
func (g Grant) redated(now time.Time, age float64) Grant {
	next := g
	life := max(g.Lifetime(), 0)
	next.Obtained = now.Add(-time.Duration(float64(life) * age))
	if !g.Expiry.IsZero() {
		next.Expiry = next.Obtained.Add(life)
	}
	if renewed := g.renewed(); !g.RefreshExpiry.IsZero() && g.fromFuture(renewed, now) {
		next.RefreshExpiry = next.Obtained.Add(g.RefreshExpiry.Sub(renewed))
		next.Renewed = time.Time{}
	}
	return next
}
