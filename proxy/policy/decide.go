package policy

import (
	"net/http"
	"slices"

	"ticketproxy/config/callers"
)

// A Request is what rules look at.
type Request struct {
	Upstream string
	Method   string
	// Path is the path that the API sees, with the upstream's base path, encoded as it was
	// sent, and without the query.
	Path string
	// Override is the name of a header field by which some servers take another method or path
	// than these; "" when there is none. Override of this package finds it.
	Override string
}

// An Outcome says how a decision was made. It is a label of metrics.
type Outcome string

const (
	Allowed       Outcome = "allowed"
	Warned        Outcome = "warned" // allowed by a rule with warn alone
	UnknownCaller Outcome = "unknown_caller"
	NoRule        Outcome = "no_rule"    // no rule for the upstream, or none at all
	BadMethod     Outcome = "method"     // no rule for this method of the upstream
	NoPath        Outcome = "path"       // no rule for this path with this method
	OddPath       Outcome = "odd_path"   // servers read this path in more than one way
	Overridden    Outcome = "overridden" // a header field gives another method or path
)

// Outcomes returns all outcomes that deny.
func Outcomes() []Outcome {
	return []Outcome{UnknownCaller, NoRule, BadMethod, NoPath, OddPath, Overridden}
}

// A Decision is what came of one request. Its method Why says it in words.
type Decision struct {
	Outcome Outcome
	rule    int // the index of the rule that allowed it
	name    string
	caller  *caller
	request Request
}

// Allowed reports whether the request may be sent.
func (d Decision) Allowed() bool { return d.Outcome == Allowed || d.Outcome == Warned }

// Decide decides whether a caller may send a request. It has no effect.
//
// A rule matches a request when its upstream, one of its methods and one of its paths do. A
// rule for GET matches HEAD, too. A rule without methods or paths matches all of them, and so
// does the path /**. Rules without warn come first.
func (p *Policy) Decide(caller string, r Request) Decision {
	d := Decision{Outcome: UnknownCaller, name: caller, caller: p.callers[caller], request: r}
	if d.caller == nil {
		return d
	}
	var scratch [256]byte
	path := readPath(r.Path, scratch[:0])
	d.Outcome = NoRule
	warned := -1
	for i := range d.caller.May {
		rule := &d.caller.May[i]
		outcome := judge(rule, &r, &path)
		switch {
		case outcome == Allowed && !rule.Warn:
			d.Outcome, d.rule = Allowed, i
			return d
		case outcome == Allowed && warned < 0:
			warned = i
		case nearness(outcome) > nearness(d.Outcome):
			d.Outcome = outcome
		}
	}
	if warned >= 0 {
		d.Outcome, d.rule = Warned, warned
	}
	return d
}

// judge decides a request by one rule.
func judge(rule *callers.Rule, r *Request, path *requestPath) Outcome {
	anyPath := matchesAnyPath(rule)
	switch {
	case rule.Upstream != "*" && rule.Upstream != r.Upstream:
		return NoRule
	case !hasMethod(rule, r.Method):
		return BadMethod
	case anyPath && rule.Methods == nil:
		return Allowed
	case r.Override != "":
		return Overridden
	case anyPath:
		return Allowed
	case path.odd != "":
		return OddPath
	}
	for i := range rule.Paths {
		if matches(&rule.Paths[i], path.text) {
			return Allowed
		}
	}
	return NoPath
}

// nearness orders the outcomes of rules by how much of them matched.
func nearness(o Outcome) int {
	switch o {
	case BadMethod:
		return 1
	case NoPath:
		return 2
	case OddPath:
		return 3
	case Overridden:
		return 4
	}
	return 0
}

func hasMethod(rule *callers.Rule, method string) bool {
	return rule.Methods == nil || slices.Contains(rule.Methods, method) ||
		method == http.MethodHead && slices.Contains(rule.Methods, http.MethodGet)
}

// matchesAnyPath reports whether a rule is for every path, in whatever way a server reads it.
func matchesAnyPath(rule *callers.Rule) bool {
	return rule.Paths == nil || slices.ContainsFunc(rule.Paths, callers.Glob.All)
}

// Override returns the name of a header field by which some servers take another method or
// path than those of the request line, and "" if there is none. Some servers take an underscore
// or a dot for a hyphen.
func Override(h http.Header) string {
	for name := range h {
		if len(name) >= len("X-Http-Method") && (name[0] == 'X' || name[0] == 'M') && isOverride(name) {
			return name
		}
	}
	return ""
}

// isOverride reports whether some servers read a method or path in the field of that name:
// Rails, Symfony, Laravel, Spring, ASP.NET and express's method-override a method; IIS's URL
// rewriting, older Symfony and Zend a path.
func isOverride(name string) bool {
	for _, known := range [...]string{
		"x-http-method-override", "x-http-method", "x-method-override", "method-override", "x-override-method",
		"x-original-method", "x-original-url", "x-original-uri", "x-original-path", "x-envoy-original-path", "x-rewrite-url",
		"x-override-url", "x-http-path-override",
	} {
		if sameField(name, known) {
			return true
		}
	}
	return false
}

// sameField compares a name with one in lower case.
func sameField(name, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c == '_' || c == '.' {
			c = '-'
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
