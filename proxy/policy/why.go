package policy

import (
	"fmt"
	"strconv"
	"strings"

	"ticketproxy/config/callers"
)

const (
	maxRules = 5   // how many rules are told of
	maxShown = 100 // how much of a text is shown, in bytes
)

// Why says in one line which rule allowed the request, or for each of the caller's rules why it
// did not match. It is at most about 1.5 KiB long, and its text is ASCII.
func (d Decision) Why() string {
	who := "caller " + d.name
	switch d.Outcome {
	case UnknownCaller:
		return "there is no caller " + shown(d.name)
	case Allowed:
		return fmt.Sprintf("rule %d of %s allows it (line %d)", d.rule+1, who, d.line())
	case Warned:
		return fmt.Sprintf("only rule %d of %s allows it (line %d), which has warn: true", d.rule+1, who, d.line())
	}
	var b strings.Builder
	r := d.request
	fmt.Fprintf(&b, "%s may not %s %s at upstream %s: ", who, shown(r.Method), shown(r.Path), shown(r.Upstream))
	if len(d.caller.May) == 0 {
		b.WriteString("it has no rules")
		return b.String()
	}
	told := 0
	var scratch [256]byte
	path := readPath(d.request.Path, scratch[:0])
	for i := range d.caller.May {
		why := d.reason(&d.caller.May[i], &path)
		if why == "" {
			continue
		}
		if told == maxRules {
			b.WriteString("; further rules do not match either")
			return b.String()
		}
		if told > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "rule %d %s", i+1, why)
		told++
	}
	if told == 0 {
		b.WriteString("its rules are for other upstreams")
	}
	return b.String()
}

// line returns the line of the rule that allowed the request.
func (d Decision) line() int { return d.caller.May[d.rule].Line }

// reason says why a rule did not match. It is "" for one that is for another upstream.
func (d Decision) reason(rule *callers.Rule, path *requestPath) string {
	switch judge(rule, &d.request, path) {
	case BadMethod:
		return "is for " + list(rule.Methods)
	case Overridden:
		return "does not match a request with " + shown(d.request.Override) +
			", by which some servers take another method or path"
	case OddPath:
		return "has paths, and this path " + path.odd
	case NoPath:
		var paths []string
		for _, g := range rule.Paths {
			paths = append(paths, g.Text)
		}
		return "is for " + list(paths)
	}
	return ""
}

// list joins a few texts.
func list(texts []string) string {
	if len(texts) > 4 {
		return list(texts[:4]) + " and others"
	}
	var all []string
	for _, text := range texts {
		all = append(all, shown(text))
	}
	return strings.Join(all, ", ")
}

// shown makes a text of an app or of the file printable, and bounds it.
func shown(text string) string {
	cut := text
	if len(cut) > maxShown {
		cut = cut[:maxShown]
	}
	quoted := strconv.QuoteToASCII(cut)
	if plain := quoted[1 : len(quoted)-1]; plain == cut && cut != "" {
		quoted = plain
	}
	if len(quoted) > 2*maxShown {
		quoted = quoted[:2*maxShown]
	}
	if len(quoted) < len(text) && len(cut) < len(text) || len(quoted) == 2*maxShown {
		return quoted + "..."
	}
	return quoted
}
