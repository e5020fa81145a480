package tokens

import (
	"errors"
	"time"
)

// Retry has the issuer asked again soon where it refused the client, because the
// client's credentials may have changed. That holds for a token request under way, too.
// Safe for concurrent use.
func (r *Refresher) Retry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retries++
	r.retryLocked()
}

// retriesSoFar returns how often Retry was called.
func (r *Refresher) retriesSoFar() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.retries
}

// retryIfAsked is called with a failed token request. It has the issuer asked again soon if
// Retry was called since the request began, when the count was before.
func (r *Refresher) retryIfAsked(before int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.retries != before {
		r.retryLocked()
	}
}

func (r *Refresher) retryLocked() {
	var e *IssuerError
	if r.failure != nil && errors.As(r.failure.err, &e) && e.Class == Refused {
		r.failure.until = [3]time.Time{}
	}
}
