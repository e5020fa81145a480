package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"ticketproxy/secret"
)

// misspent reads a token request that failed, and writes into the record what
// every replica has to know of it. With again the protocol starts anew.
func (r *Refresher) misspent(rec Record, version Version, err error, took time.Duration) (again bool, _ error) {
	r.refreshed(resultOf(err), took)
	e := issuerError(err)
	now, next := time.Now(), rec
	next.Intent = nil
	if e.outage() {
		next.Failures++
		next.RetryAt = now.Add(r.jitter(backoff(next.Failures, minBackoff, maxPace)))
	}
	switch {
	case e.Class == Invalid:
		return r.invalid(rec, version, e)
	case e.Class == Throttled:
		next.NotBefore = now.Add(min(max(e.RetryAfter, minBackoff), maxSilence))
	case e.Class == Ambiguous && e.outage():
		next.LostAt = now
	case e.Class == Ambiguous:
		next.Lost, next.LostAt = rec.Intent.Try, now
	}
	r.write(version, next)
	w, _ := r.silence(next)
	return false, r.failFor(err, w)
}

// outage reports whether the issuer could not be reached or answered 5xx: then
// it is down, and has nothing against the request.
func (e *IssuerError) outage() bool {
	return e.Class == NotSent || e.Status >= 500 && (e.Class == Ambiguous || e.Class == Throttled)
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

// invalid is the issuer's word that it does not know the refresh token.
// Another process may have rotated it: then the record has changed, no swap of
// ours succeeds, and what is newer is adopted before the account is given up.
func (r *Refresher) invalid(rec Record, version Version, e *IssuerError) (again bool, _ error) {
	next := rec
	next.Intent = nil
	if rec.Grant.RefreshToken.Hash() == rec.Seed { // a seed that is no good is not to be tried again
		next.Spent = append(slices.Clone(rec.Spent), rec.Seed)
	}
	if !rec.Grant.Fallback.IsZero() {
		r.log().Warn("refresh token is invalid: falling back to the one before", zap.Uint64("generation", rec.Generation))
		r.mu.Lock()
		r.misled = rec.Grant.RefreshToken.Hash() == rec.Seed
		r.mu.Unlock()
		next.Generation++
		next.Grant.RefreshToken, next.Grant.Fallback = rec.Grant.Fallback, secret.String{}
		if err := r.write(version, next); err != nil && !errors.Is(err, ErrConflict) {
			return false, r.fail(err)
		}
		return true, nil
	}
	reason := fmt.Sprintf("%v: the refresh token expired, was revoked, or was used elsewhere", e)
	if !rec.LostAt.IsZero() {
		reason = fmt.Sprintf("%v, and the answer to an earlier token request was lost: the refresh token was probably rotated then", e)
	}
	next.Dead = &Death{Reason: reason, At: time.Now()}
	if err := r.write(version, next); errors.Is(err, ErrConflict) {
		return true, nil
	} else if err != nil {
		return false, r.fail(&StateError{Doing: reason + "; that cannot be recorded", Write: true, Err: err})
	}
	r.adopt(next)
	return false, r.die(reason)
}

// write swaps in what is known after a failed spend. When that fails the
// intent stays, and is settled by the next refresh here or elsewhere.
func (r *Refresher) write(version Version, next Record) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeDeadline)
	defer cancel()
	_, err := r.Store.Swap(ctx, version, next)
	if err != nil && !errors.Is(err, ErrConflict) {
		r.writeFailed()
		r.log().Warn("failed refresh could not be recorded", zap.Error(err))
	}
	return err
}

// fail records a failure, and with it the wait before the next refresh. What
// the issuer has against the client lasts longer than what is in the way.
func (r *Refresher) fail(err error) error { return r.failFor(err, waits{}) }

// failFor is fail with the waits that the record asks for. They alone bind
// while apps ask, where the issuer is down or an answer was lost: the record
// paces these attempts for all processes.
func (r *Refresher) failFor(err error, w waits) error {
	least, most := minBackoff, maxBackoff
	var e *IssuerError
	if errors.As(err, &e) && e.Class == Refused {
		least, most = minRefused, maxRefused
	}
	paced := e != nil && (e.outage() || e.Class == Ambiguous) && w[asked] > 0
	r.mu.Lock()
	defer r.mu.Unlock()
	now, tries := time.Now(), 1
	if r.failure != nil && !r.failure.dead {
		tries = r.failure.tries + 1
	}
	wait := r.jitter(backoff(tries, least, most))
	w.atLeast(wait, ahead, idle)
	if !paced {
		w.atLeast(wait, asked)
	}
	r.failure = &failure{err: err, at: now, tries: tries}
	r.failure.postpone(now, w)
	r.log().Warn("refresh failed", zap.Error(err), zap.Int("try", tries), zap.Duration("wait", w[r.need(now)]))
	return &UnavailableError{Account: r.Account, RetryAfter: w[asked], Err: err}
}

// hold begins no refresh for some time, because of what the record says. The
// failure before it stays the one that is reported, for it says more.
func (r *Refresher) hold(err error, w waits) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	f := &failure{err: err, at: now}
	if r.failure != nil {
		*f = *r.failure
	}
	f.postpone(now, w)
	r.failure = f
	return &UnavailableError{Account: r.Account, RetryAfter: f.until[asked].Sub(now), Err: f.err}
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

// die records that only a person can help.
func (r *Refresher) die(reason string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mourn(reason)
	return &DeadError{Account: r.Account, Reason: reason}
}

// mourn is die for who holds r.mu.
func (r *Refresher) mourn(reason string) {
	if r.failure != nil && r.failure.dead {
		return
	}
	r.log().Error("account needs a person", zap.String("reason", reason))
	r.failure = &failure{err: errors.New(reason), dead: true, at: time.Now()}
}

func (r *Refresher) refreshed(result string, took time.Duration) {
	if r.Observer != nil {
		r.Observer.Refreshed(result, took)
	}
}

func (r *Refresher) writeFailed() {
	if r.Observer != nil {
		r.Observer.WriteFailed()
	}
}
