// Package policy decides what a caller may do: which requests by its rules, how many by its
// rate and by the limits of accounts, and whose access tokens it may be handed. The rules come
// from CALLERS_FILE (config/callers). Nothing is allowed that no rule allows.
//
// Who the caller is has been proved before; the package knows no connections, credentials or
// tokens. Rates and limits are those of one process: replicas do not share them.
//
// Begin reading at [Policy.Decide] for rules, and at [Policy.Admit] for rates and limits.
package policy

import (
	"slices"

	"ticketproxy/config/callers"
)

// A Policy is what all callers may do. It is safe for concurrent use. Only the counters of its
// rates and limits change.
type Policy struct {
	callers  map[string]*caller
	accounts map[string]*account
}

// A caller is what one caller may do.
type caller struct {
	callers.Caller
	bucket *bucket // nil without a rate
}

// New returns the policy of a file. The counters of an old policy go on: those of callers and
// accounts whose rate is the same, the requests that are in flight, and pauses that an API
// asked for. old may be nil.
func New(file callers.File, old *Policy) *Policy {
	if old == nil {
		old = &Policy{}
	}
	p := &Policy{callers: map[string]*caller{}, accounts: map[string]*account{}}
	for name, c := range file.Callers {
		var before *bucket
		if o := old.callers[name]; o != nil {
			before = o.bucket
		}
		p.callers[name] = &caller{Caller: c, bucket: newBucket(c.Rate, before)}
	}
	for name, l := range file.Limits {
		p.accounts[name] = newAccount(l, old.accounts[name])
	}
	return p
}

// MayHaveToken reports whether a caller may be handed access tokens of an account.
func (p *Policy) MayHaveToken(caller, account string) bool {
	c := p.callers[caller]
	return c != nil && slices.Contains(c.Tokens, account)
}

// Callers returns the names of all callers, in order.
func (p *Policy) Callers() []string {
	names := make([]string, 0, len(p.callers))
	for name := range p.callers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
