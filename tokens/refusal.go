package tokens

import (
	"fmt"
	"time"

	"go.uber.org/zap"
)

// Bounds of Record.RefusalPause, but for zero.
const (
	minRefusalPause = time.Second
	maxRefusalPause = 5 * time.Minute
)

// refusals is what this process knows of access tokens that the API refused.
type refusals struct {
	generation uint64    // the newest generation that was refused
	first      time.Time // when that generation was refused for the first time
	latest     time.Time // when it was refused for the last time
	row        int       // generations in a row that were refused while they were fresh
	since      time.Time // when the row began
}

// note adds a refusal at the given time of a grant's access token.
func (s *refusals) note(generation uint64, g Grant, now time.Time) {
	if generation == s.generation {
		s.latest = now
		return
	}
	well := livedWell(g)
	if s.row > 0 && now.Sub(g.Obtained) < well && g.Obtained.Sub(s.latest) < well {
		s.row++
	} else {
		s.row, s.since = 1, now
	}
	s.generation, s.first, s.latest = generation, now, now
}

// livedWell returns how long the API must accept an access token, so that a
// later refusal says nothing about new tokens.
func livedWell(g Grant) time.Duration {
	if life := g.Lifetime(); life > 0 {
		return min(life/4, time.Hour)
	}
	return time.Hour
}

// nextRefusalPause returns the RefusalPause of the record that follows one with
// the given pause. Accepted is how long the API accepted the old access token;
// refused says whether it refused the token after that. Pauses double while the
// API refuses fresh tokens, and shrink to a quarter with each token that it
// accepted for long enough.
func nextRefusalPause(pause, accepted, well time.Duration, refused bool) time.Duration {
	switch {
	case accepted >= well:
		pause /= 4
	case refused:
		pause *= 2
	}
	if pause < minRefusalPause {
		if !refused {
			return 0
		}
		return minRefusalPause
	}
	return min(pause, maxRefusalPause)
}

// refusalPauseAfter returns the RefusalPause of the record that follows rec.
func refusalPauseAfter(rec Record, f facts) time.Duration {
	end, refused := f.now, !f.refusedAt.IsZero()
	if refused {
		end = f.refusedAt
	}
	return nextRefusalPause(rec.RefusalPause, end.Sub(rec.Grant.Obtained), livedWell(rec.Grant), refused)
}

// noteRejection notes that the API refused the current token, and reports whether that
// may cause a refresh now. All processes keep to the same pause, since it is in
// the record. A refresh that is due anyway waits for no pause. A clock that was
// set back does not prolong one.
func (r *Refresher) noteRejection(v *snapshot) (mayRefresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noteRefusalLocked(v)
	if v.token.Generation <= r.refused {
		return true
	}
	now := time.Now()
	held := now.Sub(r.held.Grant.Obtained)
	if r.held.Generation == v.token.Generation && held >= 0 && held < min(r.held.RefusalPause, maxRefusalPause) &&
		!v.due(now) {
		return false
	}
	r.refused = v.token.Generation
	return true
}

// noteRefusalLocked adds a refusal of the current token.
func (r *Refresher) noteRefusalLocked(v *snapshot) {
	if r.held.Generation != v.token.Generation {
		return
	}
	before := r.refusals.row
	r.refusals.note(v.token.Generation, r.held.Grant, time.Now())
	if before == 1 && r.refusals.row == 2 {
		r.config.Log.Warn("the API refuses new access tokens", zap.Uint64("generation", v.token.Generation))
	}
}

// Refused notes that the API answered 401 to a token, without causing a refresh: the
// token was itself obtained because of a 401. Safe for concurrent use.
func (r *Refresher) Refused(token Token) {
	v := r.current.Load()
	if v == nil || v.token.Generation != token.Generation {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noteRefusalLocked(v)
}

// refusalWarningLocked says that the API refuses new tokens; it is "" when it does
// not, or when it refused none for long enough since.
func (r *Refresher) refusalWarningLocked(now time.Time) string {
	s := r.refusals
	if s.row < 2 || r.held.Generation != s.generation && now.Sub(s.latest) >= livedWell(r.held.Grant) {
		return ""
	}
	return fmt.Sprintf("the API refuses new tokens since %s: check the account's rights and its scope, and that API, "+
		"issuer and client belong together",
		s.since.UTC().Format(time.RFC3339))
}
