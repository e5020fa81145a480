// Package callers reads CALLERS_FILE: who may call, how they prove it, and what they may do.
// It turns the text into plain data that is checked, and reports every mistake with its line
// and its hint. It knows no clock, no network and no HTTP, and reads no file. What the data
// means for a request is known to proxy/policy and proxy/inbound/authn.
//
// Begin reading at [Parse].
package callers

import (
	"slices"
	"time"
)

// A File is the content of CALLERS_FILE. Its maps are keyed by name.
type File struct {
	Issuers map[string]Issuer
	Callers map[string]Caller
	Limits  map[string]Limit // by account: what all callers together may do

	lines map[string]int // the line of each reference to an upstream or account
}

// An Issuer signs tokens that prove callers.
type Issuer struct {
	Name string
	// Kubernetes says that it is the cluster of this pod. Its URL is then "".
	Kubernetes bool
	URL        string   // exactly as the claim iss of its tokens has it
	Audiences  []string // a token must be for one of them; there is at least one
	CAFile     string   // the path of a PEM bundle that its server's certificate is checked with; may be ""
}

// A Caller is an app that may call. It proves itself in any of the ways that are set, and
// there is at least one.
type Caller struct {
	Name string

	Keys        [][32]byte  // the SHA-256 digests of its keys; at most two
	JWTs        []JWT       // from serviceAccount, and from issuer, subject and claims
	Certificate *URIPattern // the URI SAN of its client certificate; nil when there is none
	UID         *uint32     // the user of a Unix socket's peer; nil when there is none
	Listen      *Address    // a listener of its own; nil when there is none

	May    []Rule   // nothing is allowed that no rule allows
	Tokens []string // the accounts whose access tokens it may be handed
	Rate   Rate
}

// Names reports whether a rule of the caller's is for an upstream.
func (c Caller) Names(upstream string) bool {
	return slices.ContainsFunc(c.May, func(r Rule) bool { return r.Upstream == upstream || r.Upstream == "*" })
}

// A JWT says which tokens of an issuer prove a caller.
type JWT struct {
	Issuer  string // a name in File.Issuers
	Subject Pattern
	Claims  []Claim // all must match; sorted by name
}

// An Address is an address to listen on, as for net.Listen.
type Address struct {
	Network string // "tcp" or "unix"
	Address string // localhost or an IP address, with a port; for unix an absolute path
}

// A Rule allows requests that match all of its fields.
type Rule struct {
	Upstream string   // a name, or "*" for every upstream
	Methods  []string // nil for all; GET includes HEAD
	Paths    []Glob   // nil for all; one of them must match
	// Warn says that the rule is tried out: what only such rules allow is allowed, and logged.
	Warn bool
	Line int // in the file
}

// A Rate is a limit on requests in time. The zero Rate is no limit.
type Rate struct {
	Requests int           // how many there may be in the time of Per
	Per      time.Duration // a second, a minute, an hour or a day
	Burst    int           // how many there may be at once; at least 1
}

// IsZero reports whether there is no limit.
func (r Rate) IsZero() bool { return r == Rate{} }

// A Limit bounds what all callers together may do with an account.
type Limit struct {
	Rate       Rate
	Concurrent int  // requests in flight; 0 for any number
	Heed       bool // when the API answers 429 or 503 with Retry-After, hold all requests back until then
}
