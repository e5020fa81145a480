package tokens

import (
	"time"

	"go.uber.org/zap"
)

// A rivalry is what is known of who holds a record's intent.
type rivalry int

const (
	nobody  rivalry = iota // nobody, or this process, which is not spending now
	present                // another process, which may be spending
	ended                  // another process, which has ended
	silent                 // another process, of which nothing was heard for the takeover delay
)

// rival judges who holds an intent.
func (r *Refresher) rival(intent *Intent) rivalry {
	switch {
	case intent == nil || intent.Holder == r.Holder:
		return nobody
	case r.outlasted(intent):
		return silent
	}
	if p, ok := r.Store.(Presence); ok && p.Gone(intent.Holder) {
		return ended
	}
	return present
}

// settle turns an intent whose holder is not spending any more into a lost
// attempt.
func (r *Refresher) settle(rec Record) Record {
	intent := rec.Intent
	if intent == nil {
		return rec
	}
	r.log().Warn("a refresh was begun and did not end: taking over", zap.Uint64("generation", rec.Generation), zap.Int("try", intent.Try))
	rec.Intent, rec.Lost, rec.LostAt = nil, max(intent.Try, rec.Lost), intent.Start
	return rec
}

// outlasted reports whether a foreign intent was seen unchanged for the
// takeover delay.
func (r *Refresher) outlasted(intent *Intent) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.seen.id != intent.ID {
		r.seen = sighting{id: intent.ID, since: now}
	}
	return now.Sub(r.seen.since) >= r.takeover()
}

// A sighting is a foreign intent and since when it was seen unchanged, by this
// process's monotonic clock.
type sighting struct {
	id    string
	since time.Time
}
