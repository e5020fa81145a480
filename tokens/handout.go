package tokens

import (
	"context"
	"time"

	"ticketproxy/secret"
)

// A Handout is an access token for a caller that sends it itself.
type Handout struct {
	Token
	// Expiry is when the token is not to be sent any more; zero when not known. It is a
	// little before the end that the issuer named, as for requests through the proxy.
	Expiry time.Time
}

// maxFresh bounds how long an access token counts as fresh. It is the longest pause
// between refreshes that refused tokens cause, too.
const maxFresh = maxRefusalPause

// TokenFor returns an access token of which at least the given time is left, as far as
// that can be had. It refreshes first when less is left, with the pauses after failures
// that Run keeps to. A fresh token is never replaced for this, so that no caller can
// make the account refresh without end: one that was obtained within the last 5 min,
// and within a quarter of its lifetime. When no refresh may be made, or it fails, the
// token that is held is returned. Errors are as with Token.
func (r *Refresher) TokenFor(ctx context.Context, least time.Duration) (Handout, error) {
	v, err := r.usable(ctx)
	if err == nil && r.isShort(v, least) && r.obstacle() == nil {
		patience := time.NewTimer(r.config.Patience)
		defer patience.Stop()
		_ = r.share(ctx, patience.C, v) // when it fails, the token that is held serves
		v, err = r.usable(ctx)
	}
	if err != nil {
		return Handout{}, err
	}
	return v.handout(), nil
}

// Replace is Renew for a caller that knows only the text of the access token which the
// API refused. The new token is as with TokenFor. Errors are as with Token.
func (r *Refresher) Replace(ctx context.Context, refused secret.String, least time.Duration) (Handout, error) {
	if v := r.current.Load(); v != nil && v.token.AccessToken.Equal(refused) {
		if _, err := r.Renew(ctx, v.token); err != nil {
			return Handout{}, err
		}
	}
	return r.TokenFor(ctx, least)
}

// isShort reports whether less than the given time is left of a token that is not fresh.
func (r *Refresher) isShort(v *snapshot, least time.Duration) bool {
	now := time.Now()
	if v.expiry.IsZero() || v.left(now) >= least {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held.Generation != v.token.Generation {
		return false // it is not stored yet, so it is new
	}
	age := now.Sub(r.held.Grant.Obtained)
	return age < 0 || age >= min(r.held.Grant.Lifetime()/4, maxFresh) // a clock that was set back prolongs nothing
}

// TokenFor returns the access token that refreshers have stored. A Reader cannot refresh,
// so less may be left of it than is asked for. Errors are as with Token.
func (r *Reader) TokenFor(ctx context.Context, _ time.Duration) (Handout, error) {
	if _, err := r.Token(ctx); err != nil {
		return Handout{}, err
	}
	if v := r.current.Load(); v != nil {
		return v.handout(), nil
	}
	return Handout{}, &UnavailableError{Account: r.config.Account, Err: errNoNewer}
}

// Replace is Renew for a caller that knows only the text of the access token which the
// API refused. Errors are as with Token.
func (r *Reader) Replace(ctx context.Context, refused secret.String, least time.Duration) (Handout, error) {
	if v := r.current.Load(); v != nil && v.token.AccessToken.Equal(refused) {
		if _, err := r.Renew(ctx, v.token); err != nil {
			return Handout{}, err
		}
	}
	return r.TokenFor(ctx, least)
}

// left returns for how long the token may be sent, by the clock that says less. The
// expiry is known.
func (v *snapshot) left(now time.Time) time.Duration {
	return min(v.expiry.Sub(now), v.wall.Sub(now.Round(0)))
}

func (v *snapshot) handout() Handout { return Handout{Token: v.token, Expiry: v.wall} }
