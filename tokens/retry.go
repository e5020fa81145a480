package tokens

import (
	"errors"
	"time"
)

// Retry has the issuer asked again soon where it refused the client, because the
// client's credentials may have changed. Safe for concurrent use.
func (r *Refresher) Retry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var e *IssuerError
	if r.failure != nil && errors.As(r.failure.err, &e) && e.Class == Refused {
		r.failure.until = [3]time.Time{}
	}
}
