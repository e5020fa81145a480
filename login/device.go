package login

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/issuer"
)

// Waits between two requests for the grant of a device (RFC 8628, section 3.5).
const (
	slowDown    = 5 * time.Second // added for good by each slow_down
	maxInterval = time.Minute     // also where the issuer asks for a longer one
)

// byDevice shows a code that the person enters in a browser on any machine, and asks the
// issuer until the person has allowed the access (RFC 8628). Where the issuer gives this
// client no such code, a browser's address is asked for.
func (f *Flow) byDevice(ctx context.Context) (tokens.Grant, error) {
	again := "run ticketproxy login " + f.Account + " again"
	d, err := f.Client.AuthorizeDevice(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return tokens.Grant{}, f.waitError(ctx, "")
	case err != nil:
		refused, _ := errors.AsType[*tokens.IssuerError](err)
		err = f.describe(err, errorTexts{unknown: "the issuer refuses the client", hint: again, lost: again})
		if refused != nil && refused.Code == "invalid_client" { // which it would be in a browser, too
			return tokens.Grant{}, err
		}
		// The client may have forgotten the issuer's endpoints after the error.
		if f.Client.Discover(ctx) != nil || f.Client.Dialect().AuthorizeURL == "" {
			return tokens.Grant{}, err
		}
		fmt.Fprintf(f.Stderr, "The issuer gives no code for a browser on another machine: %v\n\n", err)
		return f.byCode(ctx)
	}
	fmt.Fprintf(f.Stderr, "Open this address in a browser on any machine, and enter the code %s there:\n\n  %s\n\n",
		d.UserCode, d.VerificationURI)
	if d.CompleteURI != "" {
		fmt.Fprintf(f.Stderr, "This address has the code in it:\n\n  %s\n\n", d.CompleteURI)
	}
	if end, ok := ctx.Deadline(); ok && (d.Expiry.IsZero() || end.Before(d.Expiry)) {
		fmt.Fprintf(f.Stderr, "This login waits until %s.\n", end.Local().Format(time.TimeOnly))
	} else {
		fmt.Fprintf(f.Stderr, "The code expires at %s.\n", d.Expiry.Local().Format(time.TimeOnly))
	}
	return f.awaitDevice(ctx, d)
}

// awaitDevice asks for the grant until the issuer gives or refuses it, or the code expires.
// A request without an answer doubles the interval.
func (f *Flow) awaitDevice(ctx context.Context, d issuer.DeviceAuthorization) (tokens.Grant, error) {
	again := "run ticketproxy login " + f.Account + " again"
	expired := hint.With(errors.New("the code has expired, and nobody has allowed the access"), again)
	var end <-chan time.Time // of the code
	if !d.Expiry.IsZero() {
		end = time.After(time.Until(d.Expiry))
	}
	for interval := min(d.Interval, maxInterval); ; {
		select {
		case <-ctx.Done():
			err := f.waitError(ctx, again+"; ")
			if errors.Is(err, errInterrupted) {
				err = hint.With(errInterrupted, "nothing was stored; "+again)
			}
			return tokens.Grant{}, err
		case <-end:
			return tokens.Grant{}, expired
		case <-time.After(interval):
		}
		// An interrupt does not cut off a request whose answer may be the grant.
		grant, err := f.Client.Device(context.WithoutCancel(ctx), d)
		e, failed := errors.AsType[*tokens.IssuerError](err)
		switch {
		case !failed:
			return grant, err
		case e.Code == "authorization_pending":
		case e.Code == "slow_down":
			interval += slowDown
		case e.Code == "access_denied":
			said := quoteIssuer(e.Description.Reveal())
			return tokens.Grant{}, hint.With(errors.New("consent was refused (access_denied)"+said), again)
		case e.Code == "expired_token":
			return tokens.Grant{}, expired
		case e.Class == tokens.NotSent, e.Class == tokens.Throttled, e.Status >= 500,
			e.Class == tokens.Ambiguous && e.Code == "", e.Code == "temporarily_unavailable", e.Code == "server_error":
			interval = max(interval, min(2*interval, maxInterval), e.RetryAfter)
		default:
			return tokens.Grant{}, f.describe(err, errorTexts{
				unknown: "the issuer does not know the code of this login, or gave its grant already",
				hint:    again, lost: again,
			})
		}
	}
}
