package authn

import (
	"fmt"
	"net/http"
	"time"

	"ticketproxy/proxy/inbound"
)

// A refusal says why a proof is none. Its text is for who sent it.
type refusal struct {
	detail    string
	signature bool // found by checking a signature, or by looking for its key
	// unavailable says that it is not known whether the proof is one. That counts as no failure.
	unavailable bool
	missing     bool          // nothing was sent, which counts as no failure
	limited     time.Duration // not checked, and may be after that time
}

// refuse makes a refusal. Its arguments must not be of a credential.
func refuse(format string, args ...any) error {
	return &refusal{detail: fmt.Errorf(format, args...).Error()}
}

func (r *refusal) Error() string { return r.detail }

// printed returns a text of a stranger, quoted, printable and bounded.
func printed(text string) string {
	const most = 100
	if len(text) > most {
		return fmt.Sprintf("%+q…", text[:most])
	}
	return fmt.Sprintf("%+q", text)
}

// problem returns the answer to a request without a proof.
func (r *refusal) problem() *inbound.Problem {
	if r.limited > 0 {
		p := inbound.NewProblem(http.StatusTooManyRequests, "rate_limited", "Too many failed proofs",
			"too many requests from this address failed to prove their caller; this one: "+r.detail)
		p.RetryAfter = r.limited
		return p
	}
	p := inbound.NewProblem(http.StatusUnauthorized, "unauthenticated", "The caller is not known", r.detail)
	p.Challenge = inbound.Challenges()
	if r.unavailable {
		p.RetryAfter = retryUnavailable
	}
	return p
}

// retryUnavailable is when an issuer that could not be asked may be asked again.
const retryUnavailable = 10 * time.Second

// round returns a time as a person says it.
func round(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(min(d.Hours()/24, 99999)))
}
