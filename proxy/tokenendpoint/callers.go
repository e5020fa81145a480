package tokenendpoint

import (
	"net/http"

	"ticketproxy/proxy/inbound"
)

// Callers returns the Authorizer of callers who prove themselves to a, and may have the tokens
// that may reports. Both are called by many goroutines at a time.
func Callers(a inbound.Authenticator, may func(caller, account string) bool) Authorizer {
	return callers{a, may}
}

type callers struct {
	authenticator inbound.Authenticator
	may           func(caller, account string) bool
}

// Authorize implements Authorizer. The answer does not tell whether the account exists.
func (c callers) Authorize(r *http.Request, account string) (inbound.Caller, *inbound.Problem) {
	caller, p := c.authenticator.Authenticate(r)
	if p == nil && !c.may(caller.Name, account) {
		p = inbound.NewProblem(http.StatusForbidden, "forbidden", "The caller may not have these tokens",
			"the caller "+caller.Name+" has no such account in its tokens: in TICKETPROXY_CALLERS_FILE")
	}
	return caller, p
}
