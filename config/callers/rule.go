package callers

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A period is a time that rates are per.
type period struct {
	name   string
	length time.Duration
}

func periods() []period {
	return []period{{"second", time.Second}, {"minute", time.Minute}, {"hour", time.Hour}, {"day", 24 * time.Hour}}
}

// String returns the rate in words, like "600 requests per minute, and 50 at once".
func (r Rate) String() string {
	for _, p := range periods() {
		if p.length == r.Per {
			requests := "1 request"
			if r.Requests != 1 {
				requests = strconv.Itoa(r.Requests) + " requests"
			}
			return requests + " per " + p.name + ", and " + strconv.Itoa(r.Burst) + " at once"
		}
	}
	return "no limit"
}

func (r *reader) rule(d *draft) func(at string, n *yaml.Node) {
	return func(at string, n *yaml.Node) {
		rule := Rule{Line: n.Line}
		if !r.object(at, n, r.ruleFields(&rule)) {
			return
		}
		if !has(n, "upstream") {
			r.add(n.Line, at, "names no upstream", `write upstream: and its name, or "*" for every upstream`)
		}
		d.May = append(d.May, rule)
	}
}

func (r *reader) ruleFields(rule *Rule) []field {
	return []field{
		{"upstream", func(at string, n *yaml.Node) { r.reference(at, n, &rule.Upstream) }},
		{"methods", func(at string, n *yaml.Node) {
			r.filled(at, n, "remove it if every method is meant, or the rule if none is", func(at string, n *yaml.Node) {
				r.parsed(at, n, func(text string) error {
					rule.Methods = append(rule.Methods, text)
					return checkMethod(text)
				})
			})
		}},
		{"paths", func(at string, n *yaml.Node) {
			r.filled(at, n, "remove it if every path is meant, or the rule if none is", func(at string, n *yaml.Node) {
				r.parsed(at, n, func(text string) error {
					g, err := parseGlob(text)
					rule.Paths = append(rule.Paths, g)
					return err
				})
			})
		}},
		{"warn", func(at string, n *yaml.Node) { r.boolean(at, n, &rule.Warn) }},
	}
}

var methods = regexp.MustCompile(`^[A-Z][A-Z0-9_-]{0,31}$`)

// checkMethod checks an item of methods. Methods are case-sensitive (RFC 9110, section 9.1).
func checkMethod(text string) error {
	upper := strings.ToUpper(text)
	switch {
	case text == "*":
		return &flaw{`is "*"`, "remove methods: without it, a rule is for every method"}
	case text == "CONNECT" || text == "TRACE":
		return &flaw{text + " is never let through", "remove it"}
	case methods.MatchString(text):
		return nil
	case methods.MatchString(upper):
		return &flaw{quote(text) + " is not in upper case, as methods are", "write " + upper}
	}
	return &flaw{quote(text) + " is not a method", "write methods like GET or POST; GET includes HEAD"}
}
