package tokens

import (
	"fmt"
	"slices"
	"time"

	"ticketproxy/secret"
)

// This file is the pure core of the refresh protocol: decide says what to do
// about a record, and after says which record follows from a token request. They
// have no clock, no lock and no I/O; decide_test.go is their table.

// Facts are what the core knows besides the record.
type facts struct {
	now      time.Time
	need     need
	rotation Rotation
	grace    bool // a spent refresh token still works for a while
	holder   holderState
	// refusedAt is when the API first refused the record's access token; zero
	// when it accepts it.
	refusedAt time.Time
	random    float64 // in [0, 1), for jitter
}

// A holderState is what is known of the process that holds a record's intent.
type holderState int

const (
	holderNone   holderState = iota // nobody, or this process, which is not spending now
	holderBusy                      // another process, which may be spending
	holderEnded                     // another process, which has ended
	holderSilent                    // another process that was not heard of for the takeover delay
)

// A step is what to do next about a record.
type step int

const (
	stepRefresh       step = iota // claim the record, and redeem its refresh token
	stepWaitForHolder             // another process may be redeeming it
	stepCoolDown                  // the issuer must not be asked yet
	stepDead                      // only a person can help
)

// A decision is a step, with what it takes.
type decision struct {
	step   step
	record Record // with stepRefresh: what to claim
	waits  waits  // with stepCoolDown
	err    error  // with stepCoolDown: why
	reason string // with stepDead
}

// decide returns what to do about a record whose grant does not serve.
func decide(rec Record, f facts) decision {
	switch {
	case rec.Dead != nil:
		return decision{step: stepDead, reason: rec.Dead.Reason}
	case rec.Grant.RefreshToken.IsZero():
		return decision{step: stepDead, reason: "it has no refresh token yet"}
	case f.holder == holderBusy:
		return decision{step: stepWaitForHolder}
	}
	rec = takeOver(rec)
	if w, err := cooldown(rec, f); w[f.need] > 0 {
		return decision{step: stepCoolDown, waits: w, err: err}
	}
	return decision{step: stepRefresh, record: rec}
}

// takeOver turns an intent whose holder is not spending any more into a lost
// attempt.
func takeOver(rec Record) Record {
	if intent := rec.Intent; intent != nil {
		rec.Intent, rec.Lost, rec.LostAt = nil, max(intent.Try, rec.Lost), intent.Start
	}
	return rec
}

// cooldown returns how long the record says not to ask the issuer, and why. The
// error is nil when nothing in the record says so.
//
// After an attempt whose outcome is not known the refresh token may be spent,
// and an issuer with reuse detection answers its second use by revoking the
// access token too. While that one serves, and there is no grace window, each
// attempt waits for half of what is left of it.
//
// A time that lies too far ahead was written by a wrong clock, and is ignored.
func cooldown(rec Record, f facts) (w waits, why error) {
	if since := f.now.Sub(rec.LostAt); !rec.LostAt.IsZero() && since >= 0 {
		why = reasonOf(rec, errLost)
		w.atLeast(backoff(rec.Lost+rec.Failures, minBackoff, maxBackoff)-since, needNone, needLater)
		if !rec.RetryAt.After(rec.LostAt) { // the last attempt was lost, and none has failed otherwise since
			w.atLeast(backoff(rec.Lost, minBackoff, maxBackoff)-since, needNow)
		}
		if f.rotation != RotationNone && !f.grace {
			w.atLeast(rec.Grant.Expiry.Sub(rec.LostAt)/2-since, needNone)
		}
	}
	if wait := rec.RetryAt.Sub(f.now); wait > 0 && wait <= maxPace {
		why = reasonOf(rec, errOutage)
		w.atLeast(wait, needNone, needLater, needNow)
	}
	if wait := rec.NotBefore.Sub(f.now); wait > 0 && wait <= maxSilence {
		why = reasonOf(rec, errThrottled)
		w.atLeast(wait, needNone, needLater, needNow)
	}
	return w, why
}

// reasonOf returns why the record's last token request failed, or else the given error.
func reasonOf(rec Record, otherwise error) error {
	if rec.Reason == "" {
		return otherwise
	}
	return fixedError("the last token request failed: " + rec.Reason)
}

// An outcome is what a token request has led to.
type outcome int

const (
	outcomeRotated  outcome = iota // store the record, then publish its access token
	outcomeFailed                  // the record says when to ask again
	outcomeFellBack                // the record goes on with the refresh token before: ask again
	outcomeDied                    // the issuer does not know the refresh token: only a person can help
)

// after returns the record that follows rec when its refresh token was redeemed
// with this result. A grant beside an error has a new refresh token and no usable
// access token.
func after(rec Record, grant Grant, err error, f facts) (Record, outcome) {
	if err == nil || !grant.RefreshToken.IsZero() && !grant.RefreshToken.Equal(rec.Grant.RefreshToken) {
		return rotated(rec, grant, f), outcomeRotated
	}
	e := issuerError(err)
	next := rec
	next.Intent, next.Reason = nil, e.reason()
	if e.outage() {
		next.Failures++
		next.RetryAt = f.now.Add(jitter(backoff(next.Failures, minBackoff, maxPace), f.random))
	}
	switch {
	case e.Class == Invalid:
		return invalid(rec, e, f)
	case e.Class == Throttled:
		next.NotBefore = f.now.Add(min(max(e.RetryAfter, minBackoff), maxSilence))
	case e.Class == Ambiguous && e.outage():
		next.LostAt = f.now
	case e.Class == Ambiguous:
		next.Lost, next.LostAt = rec.Intent.Try, f.now
	}
	return next, outcomeFailed
}

// rotated returns the record that follows rec with the new grant.
func rotated(rec Record, grant Grant, f facts) Record {
	next := Record{
		Generation:   rec.Generation + 1,
		Grant:        grant,
		Seed:         rec.Seed,
		Spent:        rec.Spent,
		RefusalPause: refusalPauseAfter(rec, f),
	}
	old := rec.Grant
	if grant.AccessToken.IsZero() { // only the refresh token is new
		next.Grant.AccessToken, next.Grant.Obtained, next.Grant.Expiry = old.AccessToken, old.Obtained, old.Expiry
	}
	kept := grant.RefreshToken.IsZero() || grant.RefreshToken.Equal(old.RefreshToken)
	if kept && grant.RefreshExpiry.IsZero() {
		next.Grant.RefreshExpiry = old.RefreshExpiry
	}
	if extended := next.Grant.RefreshExpiry.Sub(old.RefreshExpiry); extended < grant.Obtained.Sub(old.Obtained)/2 {
		next.Grant.Renewed = old.renewed() // the end was not extended: the difference is jitter
	}
	if kept {
		next.Grant.RefreshToken = old.RefreshToken
		return next
	}
	if f.rotation == RotationMaybe {
		next.Grant.Fallback = old.RefreshToken
	}
	if spent := old.RefreshToken.Hash(); spent == rec.Seed {
		next.Spent = append(slices.Clone(rec.Spent), spent)
	}
	return next
}

// invalid returns the record that follows the issuer's statement that it does not
// know the refresh token.
func invalid(rec Record, e *IssuerError, f facts) (Record, outcome) {
	next := rec
	next.Intent = nil
	if isSeed(rec) { // a seed that is not valid must not be tried again
		next.Spent = append(slices.Clone(rec.Spent), rec.Seed)
	}
	if !rec.Grant.Fallback.IsZero() {
		next.Generation++
		next.Grant.RefreshToken, next.Grant.Fallback = rec.Grant.Fallback, secret.String{}
		return next, outcomeFellBack
	}
	reason := fmt.Sprintf("%v: the refresh token expired, was revoked, or was used elsewhere", e)
	if !rec.LostAt.IsZero() {
		reason = fmt.Sprintf(
			"%v, and the answer to an earlier token request was lost: the refresh token was probably rotated then",
			e,
		)
	}
	next.Dead = &Death{Reason: reason, At: f.now}
	return next, outcomeDied
}

// isSeed reports whether the record's refresh token is the operator's seed.
func isSeed(rec Record) bool { return rec.Grant.RefreshToken.Hash() == rec.Seed }
