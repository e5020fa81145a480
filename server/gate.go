package server

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ticketproxy/admin"
	"ticketproxy/config/callers"
	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/inbound/authn"
	"ticketproxy/proxy/policy"
	"ticketproxy/proxy/tokenendpoint"
	"ticketproxy/secret"
)

// A gate knows who calls and what callers may do, by CALLERS_FILE. It implements proxy.Gate.
// Requests in flight end with the rules that they began with, unless they upgrade their connection.
type gate struct {
	rules    atomic.Pointer[rules]
	upgrades upgrades
	warned   warnings
	metrics  *admin.Metrics
	log      *zap.Logger
}

// rules are one version of CALLERS_FILE.
type rules struct {
	file   callers.File
	authn  *authn.Authenticator
	policy *policy.Policy
}

// placeholderLifetime is how long a placeholder is accepted at most. It is longer than any
// provider's answer says that its token lives, so an app asks for another one before.
const placeholderLifetime = 4 * 24 * time.Hour

// Authenticate implements inbound.Authenticator.
func (g *gate) Authenticate(r *http.Request) (inbound.Caller, *inbound.Problem) {
	caller, p := g.rules.Load().authn.Authenticate(r)
	if p != nil {
		g.metrics.Denied("", p.Code)
	}
	return caller, p
}

// Admit implements proxy.Gate.
func (g *gate) Admit(caller inbound.Caller, r proxy.Request) (release func(), _ *inbound.Problem) {
	asked := askedOf(r)
	decision := g.rules.Load().policy.Decide(caller.Name, asked)
	switch {
	case !decision.Allowed():
		g.metrics.Denied(caller.Name, string(decision.Outcome))
		return nil, forbidden(decision)
	case decision.Outcome == policy.Warned:
		g.metrics.Denied(caller.Name, string(decision.Outcome))
		if g.warned.first(caller.Name, r.Upstream, time.Now()) {
			g.log.Warn("request passed by a rule with warn alone", zap.String("caller", caller.Name),
				zap.String("upstream", r.Upstream), zap.String("method", r.Method))
		}
	}
	admitted, p := g.admit(caller, r.Account)
	if p != nil || r.Cut == nil {
		return admitted, p
	}
	over := g.watch(&upgrade{caller, asked, r.Cut})
	return func() {
		over()
		admitted()
	}, nil
}

// askedOf returns what the rules are asked about a request.
func askedOf(r proxy.Request) policy.Request {
	return policy.Request{
		Upstream: r.Upstream,
		Method:   r.Method,
		Path:     r.Path,
		Override: policy.Override(r.Header),
	}
}

func forbidden(d policy.Decision) *inbound.Problem {
	return inbound.NewProblem(http.StatusForbidden, "forbidden", "The caller may not do this", d.Why())
}

// Throttled implements proxy.Gate.
func (g *gate) Throttled(account string, h http.Header) {
	if until := retryAfter(h.Get("Retry-After"), time.Now()); !until.IsZero() {
		g.rules.Load().policy.Heed(account, until)
	}
}

// retryAfter returns the time that a Retry-After names (RFC 9110, section 10.2.3); zero when
// it names none.
func retryAfter(text string, now time.Time) time.Time {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return now.Add(time.Duration(seconds) * time.Second)
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return time.Time{}
	}
	return until
}

// Grant implements proxy.Gate.
func (g *gate) Grant(r *http.Request) (inbound.Caller, proxy.Grant, *inbound.Problem) {
	current := g.rules.Load().authn
	var client appCredentials
	var p *inbound.Problem
	if r.Header["Proxy-Authorization"] == nil && len(r.Header["Authorization"]) < 2 { // as for any request
		client, p = credentialsOf(r)
	}
	var caller inbound.Caller
	switch {
	case p != nil:
	case client.secret.IsZero():
		caller, p = current.Authenticate(r) // by certificate, Unix socket, or a header field
	default:
		caller, p = current.Prove(r, client.id, client.secret.Reveal())
	}
	if p == nil && caller.Proof == "placeholder" { // it would never expire for whoever has found it
		p = inbound.NewProblem(http.StatusUnauthorized, "unauthenticated", "The caller is not known",
			"a placeholder is no proof at a token endpoint: send the client's id and secret")
		p.Challenge = inbound.Challenges()
	}
	if p == nil {
		_, p = g.admit(caller, "")
	} else {
		g.metrics.Denied("", p.Code)
	}
	if p != nil {
		return caller, proxy.Grant{}, p
	}
	if byConnection(caller) {
		return caller, proxy.Grant{AccessToken: secret.New(proxy.Placeholder)}, nil
	}
	until := placeholderEnd(caller, time.Now())
	placeholder, err := current.NewPlaceholder(caller.Name, until)
	if err != nil {
		g.log.Error("making a placeholder", zap.Error(err))
		p := inbound.NewProblem(http.StatusForbidden, "forbidden", "The caller gets no placeholder",
			"it is not in CALLERS_FILE any more")
		return caller, proxy.Grant{}, p
	}
	return caller, proxy.Grant{AccessToken: placeholder, Until: until}, nil
}

// placeholderEnd returns when a placeholder expires that a caller gets now: not after the proof
// that it was given for.
func placeholderEnd(caller inbound.Caller, now time.Time) time.Time {
	end := now.Add(placeholderLifetime)
	if !caller.Until.IsZero() && caller.Until.Before(end) {
		return caller.Until
	}
	return end
}

// byConnection reports whether a caller is proved by its connection. It needs no placeholder,
// which would be good elsewhere, too.
func byConnection(c inbound.Caller) bool {
	return c.Proof == "certificate" || c.Proof == "uid" || c.Proof == "listener"
}

// Authorize implements tokenendpoint.Authorizer. What is asked for counts to the caller's rate.
func (g *gate) Authorize(r *http.Request, account string) (inbound.Caller, *inbound.Problem) {
	caller, p := tokenendpoint.Callers(g, g.mayHaveToken).Authorize(r, account)
	if p == nil && caller.Proof == "placeholder" { // it is given to an app that needs no token
		g.metrics.Denied(caller.Name, "tokens")
		return caller, inbound.NewProblem(http.StatusForbidden, "forbidden", "The caller may not have these tokens",
			"a placeholder is no proof here: send a key or another proof of the caller")
	}
	if p == nil {
		_, p = g.admit(caller, "")
	}
	return caller, p
}

// mayHaveToken reports whether a caller may be handed access tokens of an account.
func (g *gate) mayHaveToken(caller, account string) bool {
	may := g.rules.Load().policy.MayHaveToken(caller, account)
	if !may {
		g.metrics.Denied(caller, "tokens")
	}
	return may
}

// admit counts a request to the caller's rate, and to the account's limit unless there is no
// account.
func (g *gate) admit(caller inbound.Caller, account string) (release func(), _ *inbound.Problem) {
	release, refused := g.rules.Load().policy.Admit(caller.Name, account)
	if refused == nil {
		return release, nil
	}
	g.metrics.Denied(caller.Name, string(refused.Reason))
	p := inbound.NewProblem(http.StatusTooManyRequests, "rate_limited", "Too many requests", refused.Detail)
	p.RetryAfter = refused.Wait
	return nil, p
}

// An ownGate is the gate of the listener of one caller's own.
type ownGate struct {
	*gate
	caller  string
	address callers.Address
}

// Authenticate implements inbound.Authenticator.
func (g ownGate) Authenticate(r *http.Request) (inbound.Caller, *inbound.Problem) {
	caller, p := g.rules.Load().authn.Listener(g.caller, g.address).Authenticate(r)
	if p != nil {
		g.metrics.Denied("", p.Code)
	}
	return caller, p
}

// Grant implements proxy.Gate. What the app says of itself is not looked at.
func (g ownGate) Grant(r *http.Request) (inbound.Caller, proxy.Grant, *inbound.Problem) {
	caller, p := g.Authenticate(r)
	return caller, proxy.Grant{AccessToken: secret.New(proxy.Placeholder)}, p
}
