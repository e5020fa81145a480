package tokens

import (
	"time"

	"ticketproxy/secret"
)

// Bounds of the waits between two attempts on one issuer.
const (
	minBackoff = 500 * time.Millisecond
	maxBackoff = time.Minute
	minRefused = 15 * time.Second // a secret may be mid-rotation
	maxRefused = 10 * time.Minute
	maxSilence = time.Hour       // the longest Retry-After that is obeyed
	maxPause   = 3 * time.Second // the longest pause between refreshes that a caller waits out
	maxMargin  = 5 * time.Second // before the expiry, when a token is no longer sent
)

// maxPace bounds the wait between two token requests in an outage while apps
// ask. With what the store takes, the issuer is asked within 3 s.
const maxPace = 2500 * time.Millisecond

// demandWindow is how long a request for a token that was not answered at once
// counts as demand. It is as long as the longest backoff, so that an app which
// asks that often always counts.
const demandWindow = maxBackoff

// Why there is no token, besides what the issuer and the store say.
const (
	errClosing   = fixedError("shutting down")
	errSlow      = fixedError("the refresh takes long")
	errStillborn = fixedError("the new access token had expired on arrival")
	errThrottled = fixedError("the record asks for a pause: the issuer throttles, or the state was put back")
	errOutage    = fixedError("the issuer could not be reached, or failed, a moment ago")
	errLost      = fixedError("an earlier token request got no answer")
	errUnsettled = fixedError("the store gives no clear answer")
)

// A Token is one access token and the generation it is from.
type Token struct {
	AccessToken secret.String
	Generation  uint64
}

// A snapshot is what requests use of a record. It is immutable. A nil snapshot
// holds no token.
type snapshot struct {
	token     Token
	expiry    time.Time // when the token is no longer sent; zero when not known
	wall      time.Time // the same without its monotonic reading
	refreshAt time.Time // when to ask ahead; zero when only a 401 tells
}

// newSnapshot plans the use of a record: refresh after two thirds of the access
// token's lifetime, ±10 %, and once half of the refresh token's has passed, in
// case that puts its end off. Lifetimes run from seconds to years, so every
// margin is a share.
func newSnapshot(rec Record, random float64) *snapshot {
	if rec.Grant.AccessToken.IsZero() {
		return nil
	}
	g, v := rec.Grant, &snapshot{token: Token{AccessToken: rec.Grant.AccessToken, Generation: rec.Generation}}
	if !g.Expiry.IsZero() {
		life := max(g.Lifetime(), 0)
		v.expiry = g.Expiry.Add(-min(life/100, maxMargin))
		v.wall = v.expiry.Round(0)
		v.refreshAt = g.Obtained.Add(time.Duration(float64(life) * (2.0 / 3) * (0.9 + 0.2*random)))
	}
	if !g.RefreshExpiry.IsZero() {
		half := g.renewed().Add(g.RefreshExpiry.Sub(g.renewed()) / 2)
		if half.After(g.Obtained) && (v.refreshAt.IsZero() || half.Before(v.refreshAt)) {
			v.refreshAt = half
		}
	}
	return v
}

// usable reports whether the token may be sent. It goes by both clocks, because
// the monotonic one stands still while a machine sleeps and the other one jumps.
func (v *snapshot) usable(now time.Time) bool {
	return v != nil && (v.expiry.IsZero() || now.Before(v.expiry) && now.Round(0).Before(v.wall))
}

// due reports whether it is time to refresh.
func (v *snapshot) due(now time.Time) bool {
	if v == nil || !v.usable(now) {
		return true
	}
	return !v.refreshAt.IsZero() && (!now.Before(v.refreshAt) || !now.Round(0).Before(v.refreshAt.Round(0)))
}

// untilDue returns how long nothing is due, at most the given time.
func (v *snapshot) untilDue(now time.Time, most time.Duration) time.Duration {
	if v == nil || v.refreshAt.IsZero() {
		return most
	}
	if d := v.refreshAt.Sub(now); d > 0 {
		return min(d, most)
	}
	return most
}

// A failure says why the last refresh failed, and for how long none is begun.
type failure struct {
	err   error
	dead  bool         // only a person can help
	at    time.Time    // when it happened
	tries int          // failures in a row
	until [3]time.Time // no refresh before this; indexed by need
}

// report returns the failure while it forbids to ask the issuer, else nil.
func (f *failure) report(account string, n need, now time.Time) error {
	if f == nil {
		return nil
	}
	if f.dead {
		return &DeadError{Account: account, Reason: f.err.Error()}
	}
	if wait := f.until[n].Sub(now); wait > 0 {
		return &UnavailableError{Account: account, RetryAfter: wait, Err: f.err}
	}
	return nil
}

// A need says what depends on the next token request, and with that how soon the
// issuer may be asked again.
type need int

const (
	needNone  need = iota // a live access token is held: nobody waits
	needLater             // none is held, and no app has asked for one lately
	needNow               // none is held, and apps ask for one
)

// waits says how long the issuer may not be asked; indexed by need.
type waits [3]time.Duration

// atLeast makes the waits of the given needs no shorter than d.
func (w *waits) atLeast(d time.Duration, needs ...need) {
	for _, n := range needs {
		w[n] = max(w[n], d)
	}
}

// needLocked returns the present need.
func (r *Refresher) needLocked(now time.Time) need {
	switch {
	case r.liveLocked(now):
		return needNone
	case now.Sub(r.wanted) < demandWindow && !r.wanted.IsZero():
		return needNow
	}
	return needLater
}

// backoff returns the wait after so many tries: doubling from least to most.
func backoff(tries int, least, most time.Duration) time.Duration {
	wait := least
	for ; tries > 1 && wait < most; tries-- {
		wait *= 2
	}
	return min(wait, most)
}

// jitter spreads a wait over its upper half, so that replicas do not ask in step.
// random is in [0, 1).
func jitter(d time.Duration, random float64) time.Duration {
	return d/2 + time.Duration(random*float64(d)/2)
}
