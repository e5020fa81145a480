package tokens

import (
	"context"
	"fmt"
	"time"

	"ticketproxy/secret"
)

// An Issuer spends refresh tokens at an account's token endpoint.
type Issuer interface {
	// Refresh redeems refreshToken (RFC 6749, section 6). The grant's Obtained
	// is the time before the request was sent, and its RefreshToken is empty
	// when the issuer returned none. It sends nothing later than 10 s after it
	// was called, and waits no longer than 30 s for the answer. An error is an *IssuerError; a
	// grant beside it has a new refresh token and no usable access token.
	Refresh(ctx context.Context, refreshToken secret.String) (Grant, error)
}

// A Class says how far a failed token request got. That decides what may be tried
// again.
type Class int

const (
	// Ambiguous: the request was written and no usable answer came; the
	// refresh token may be spent.
	Ambiguous Class = iota
	// NotSent: nothing of the request was written that could be acted upon.
	NotSent
	// Throttled: the issuer asked for silence (429, or 503 with Retry-After).
	Throttled
	// Invalid: the issuer does not know the refresh token (invalid_grant).
	Invalid
	// Refused: the issuer does not accept the client (invalid_client,
	// unauthorized_client) or the form of the request.
	Refused
)

// String returns the class as metrics and logs name it.
func (c Class) String() string {
	switch c {
	case Ambiguous:
		return "ambiguous"
	case NotSent:
		return "not_sent"
	case Throttled:
		return "throttled"
	case Invalid:
		return "invalid"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("class(%d)", int(c))
}

// An IssuerError is a token request that failed. Its text never holds a secret or a
// part of the issuer's body beyond the error code of RFC 6749, section 5.2.
type IssuerError struct {
	Class      Class
	Status     int           // HTTP status; 0 when no answer came
	Code       string        // the answer's "error" member, when it is one
	RetryAfter time.Duration // with Throttled: the silence asked for; 0 when not said
	Err        error         // the cause, when it is not the issuer's answer
	// Description is the answer's error_description: text that nobody vouches for, which
	// may be shown to a person who logs in, and is not logged.
	Description secret.String
}

func (e *IssuerError) Error() string {
	switch {
	case e.Err != nil && e.Status != 0:
		return fmt.Sprintf("issuer answered %d: %v", e.Status, e.Err)
	case e.Err != nil:
		return e.Err.Error()
	case e.Code != "":
		return fmt.Sprintf("issuer answered %d %s", e.Status, e.Code)
	}
	return fmt.Sprintf("issuer answered %d", e.Status)
}

func (e *IssuerError) Unwrap() error { return e.Err }

// A Rotation says what becomes of a refresh token once it is redeemed. It is
// written as the variable ROTATION is.
type Rotation string

const (
	RotationNone      Rotation = "none"       // it stays as it is
	RotationMaybe     Rotation = "maybe"      // a new one may come, and whether the old one dies is not documented
	RotationSingleUse Rotation = "single_use" // it is spent, and a new one comes
)
