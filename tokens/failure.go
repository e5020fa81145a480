package tokens

import (
	"errors"
	"time"

	"go.uber.org/zap"
)

// outage reports whether the issuer could not be reached, answered 5xx, or said by
// its error code that it is down: then it has nothing against the request.
func (e *IssuerError) outage() bool {
	switch e.Class {
	case NotSent:
		return true
	case Ambiguous, Throttled:
		return e.Status >= 500
	case Refused:
		return e.Code == "temporarily_unavailable" || e.Code == "server_error"
	}
	return false
}

// issuerError returns what err says of the issuer.
func issuerError(err error) *IssuerError {
	e := &IssuerError{Class: Ambiguous, Err: err}
	errors.As(err, &e)
	return e
}

// resultOf returns how an Observer is told of a token request.
func resultOf(err error) string {
	if err == nil {
		return "ok"
	}
	return issuerError(err).Class.String()
}

// fail records a failure, and how long to wait before the next refresh. The wait is
// longer when the issuer refuses the client.
func (r *Refresher) fail(err error) error { return r.failFor(err, waits{}) }

// failFor is fail with the waits that the record asks for. They alone bind
// while apps ask, where the issuer is down or an answer was lost: the record
// paces these attempts for all processes.
func (r *Refresher) failFor(err error, w waits) error {
	least, most := minBackoff, maxBackoff
	var e *IssuerError
	if errors.As(err, &e) && e.Class == Refused && !e.outage() {
		least, most = minRefused, maxRefused
	}
	paced := e != nil && (e.outage() || e.Class == Ambiguous) && w[needNow] > 0
	r.mu.Lock()
	defer r.mu.Unlock()
	now, tries := time.Now(), 1
	if r.failure != nil && !r.failure.dead {
		tries = r.failure.tries + 1
	}
	wait := jitter(backoff(tries, least, most), r.config.Rand())
	w.atLeast(wait, needNone, needLater)
	if !paced {
		w.atLeast(wait, needNow)
	}
	r.failure = &failure{err: err, at: now, tries: tries}
	r.failure.postpone(now, w)
	r.config.Log.Warn("refresh failed", zap.Error(err), zap.Int("try", tries),
		zap.Duration("wait", w[r.needLocked(now)]), hintOf(err))
	return &UnavailableError{Account: r.config.Account, RetryAfter: w[needNow], Err: err}
}

// coolDown begins no refresh for some time, because of what the record says. An
// earlier failure stays the one that is reported, since it says more.
func (r *Refresher) coolDown(err error, w waits) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	f := &failure{err: err, at: now}
	if r.failure != nil {
		*f = *r.failure
	}
	f.postpone(now, w)
	r.failure = f
	return &UnavailableError{Account: r.config.Account, RetryAfter: f.until[needNow].Sub(now), Err: f.err}
}

// postpone lets no refresh begin before the waits are over.
func (f *failure) postpone(now time.Time, w waits) {
	for n, wait := range w {
		f.until[n] = latest(f.until[n], now.Add(wait))
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// markDead records that only a person can help.
func (r *Refresher) markDead(reason string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.markDeadLocked(reason)
	return &DeadError{Account: r.config.Account, Reason: reason}
}

func (r *Refresher) markDeadLocked(reason string) {
	if r.failure != nil && r.failure.dead {
		return
	}
	r.config.Log.Error("account needs a person", zap.String("reason", reason), zap.String("hint", r.config.DeadHint))
	r.failure = &failure{err: errors.New(reason), dead: true, at: time.Now()}
}
