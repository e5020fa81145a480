package tokens

import "time"

// States of an account, as metrics and status name them.
const (
	Starting    = "starting"    // no token was ever held, and nothing has failed
	Ready       = "ready"       // a usable token is held
	Degraded    = "degraded"    // a usable token is held, and the last refresh failed
	Unsaved     = "unsaved"     // a new grant is held that could not be stored
	Unavailable = "unavailable" // no usable token is held; the issuer will be asked again
	Dead        = "dead"        // only a login or a new seed helps
)

// States lists the states of an account.
func States() []string {
	return []string{Starting, Ready, Degraded, Unsaved, Unavailable, Dead}
}

// Roles of an instance, as ROLE names them.
const (
	RoleRefresher = "refresher" // holds the refresh token, and asks the issuer
	RoleReader    = "reader"    // has the access tokens that refreshers store, and no refresh token
)

// shownWait is how long another process must have been waited for before Status says so. Most
// refreshes take less.
const shownWait = 2 * time.Second

// A Status is what may be shown of an account: it holds no secret.
type Status struct {
	Account       string    `json:"account"`
	Role          string    `json:"role"`
	State         string    `json:"state"`
	Usable        bool      `json:"usable"` // an access token is held that is believed valid
	Began         bool      `json:"began"`  // one was held at some time since the start
	Rotation      string    `json:"rotation"`
	Generation    uint64    `json:"generation"`
	Expiry        time.Time `json:"expiry,omitzero"`         // of the access token; zero when not known
	RefreshExpiry time.Time `json:"refresh_expiry,omitzero"` // of the refresh token; zero when not known
	NextRefresh   time.Time `json:"next_refresh,omitzero"`   // when the issuer is asked next; zero if only by a 401
	Error         string    `json:"error,omitempty"`         // why the last refresh failed
	ErrorAt       time.Time `json:"error_at,omitzero"`
	Hint          string    `json:"hint,omitempty"`     // what a person can do about it; the Refresher leaves it empty
	Warnings      []string  `json:"warnings,omitempty"` // what a person should do before it is too late
	Cause         error     `json:"-"`                  // what Error says; may be an *IssuerError

	// EncryptedTo is the age recipient to whom the stored tokens are encrypted; "" when
	// they are in clear. The Refresher leaves it empty.
	EncryptedTo string `json:"encrypted_to,omitempty"`

	// ClockSkew is by how many seconds the local clock is ahead of the issuer's;
	// nil when the issuer has not told its time.
	ClockSkew *float64 `json:"clock_skew_seconds,omitempty"`

	// RefusalPause is how long a new access token must be held before its
	// refusal by the API causes a refresh; 0 unless the API refused fresh tokens.
	RefusalPause time.Duration `json:"-"`
}

// liveLocked reports whether a token is held that is believed valid, and was not
// refused by the API.
func (r *Refresher) liveLocked(now time.Time) bool {
	v := r.current.Load()
	return v.usable(now) && v.token.Generation > r.refused
}

// Status returns a snapshot. Safe for concurrent use.
func (r *Refresher) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, v := time.Now(), r.current.Load()
	live := r.liveLocked(now)
	s := Status{
		Account:       r.config.Account,
		Role:          RoleRefresher,
		Usable:        live,
		Began:         r.began,
		Rotation:      string(r.config.Rotation),
		Generation:    r.held.Generation,
		Expiry:        r.held.Grant.Expiry.Round(0),
		RefreshExpiry: r.held.Grant.RefreshExpiry.Round(0),
		Warnings:      r.warningsLocked(now),
		ClockSkew:     r.skew,
		RefusalPause:  r.held.RefusalPause,
	}
	if r.saving == savePending && v != nil { // it will be stored in a moment
		s.Generation = v.token.Generation
	}
	switch {
	case live:
		s.NextRefresh = v.refreshAt.Round(0)
		if silence := r.held.NotBefore; silence.Sub(now) <= maxSilence {
			s.NextRefresh = latest(s.NextRefresh, silence.Round(0))
		}
	case v != nil && v.usable(now): // and refused by the API
		s.Expiry, s.NextRefresh = time.Time{}, now.Round(0)
	default:
		s.NextRefresh = now.Round(0)
	}
	switch f := r.failure; {
	case r.awaiting && !live && now.Sub(r.seen.since) >= shownWait:
		s.Cause = fixedError("process " + r.seen.holder + " began a refresh and has not ended it: it is waited for")
		s.Error, s.ErrorAt = s.Cause.Error(), r.seen.since.Round(0)
		s.NextRefresh = latest(s.NextRefresh, r.seen.since.Add(r.config.Takeover).Round(0))
	case f != nil:
		s.Cause, s.Error, s.ErrorAt = f.err, f.err.Error(), f.at.Round(0)
		s.NextRefresh = latest(s.NextRefresh, f.until[r.needLocked(now)].Round(0))
	case r.state != nil:
		s.Cause, s.Error, s.ErrorAt = r.state, r.state.Error(), now.Round(0)
	}
	s.State = r.accountStateLocked(s)
	if s.State == Dead { // its refresh token is of no use, whenever it ends
		s.NextRefresh, s.RefreshExpiry = time.Time{}, time.Time{}
	}
	return s
}

// accountStateLocked returns the state of an account of which the rest is known.
func (r *Refresher) accountStateLocked(s Status) string {
	switch {
	case r.failure != nil && r.failure.dead || r.held.Dead != nil:
		return Dead
	case r.saving == saveFailed:
		return Unsaved
	case s.Usable && s.Error != "":
		return Degraded
	case s.Usable:
		return Ready
	case s.Error != "" || r.began:
		return Unavailable
	}
	return Starting
}
