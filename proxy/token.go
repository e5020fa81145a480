package proxy

import (
	"context"
	"time"

	"ticketproxy/secret"
)

// A Token is an access token as requests bear it (RFC 6750).
type Token struct {
	AccessToken secret.String
	Generation  uint64 // which of its account's grants it is from
}

// A TokenSource hands out bearer tokens. Safe for concurrent use. Its errors
// are *TokenError, or ctx's.
type TokenSource interface {
	// Token returns a token that is believed valid. In the steady state it
	// never blocks.
	Token(ctx context.Context) (Token, error)
	// Renew returns a token of another grant than rejected, which the API
	// answered with 401. It causes a refresh only if rejected is still the
	// current token. It returns rejected itself where no refresh may be made
	// now, because the API refused too many fresh tokens.
	Renew(ctx context.Context, rejected Token) (Token, error)
	// Refused notes that the API answered 401 to a token that Renew returned.
	Refused(token Token)
}

// A TokenError says why there is no token, in words that an app may see.
type TokenError struct {
	LoginRequired bool          // only a person can help
	Detail        string        // what happened and what to do; holds no secret
	RetryAfter    time.Duration // when to try again; 0 when not known
}

func (e *TokenError) Error() string { return e.Detail }
