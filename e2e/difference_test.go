package e2e

import (
	"fmt"
	"slices"
	"strings"
)

// A difference is one deviation of a proxied exchange from the direct one.
type difference struct {
	what   string // the kind of difference
	detail string
	name   string // of the exchangeCase
}

// differences compares two exchanges of the same case.
func differences(name string, direct, through exchange) []difference {
	var all []difference
	note := func(what, format string, args ...any) {
		all = append(all, difference{what, fmt.Sprintf(format, args...), name})
	}
	if direct.broken != through.broken {
		note("answer is broken", "%s", through.broken)
	}
	if len(direct.requests) > 0 && len(through.requests) == 0 {
		own := through.answer.line
		if code := through.answer.get("Ticketproxy-Error"); code != "" {
			own += ", " + code
		}
		note("request did not arrive", "%s", own)
		return all
	}
	if len(direct.requests) != len(through.requests) {
		note("request was sent again", "%d times", len(through.requests))
	}
	for i := range min(len(direct.requests), 1) {
		compare("request", direct.requests[i], through.requests[i], note)
	}
	if len(direct.interim) != len(through.interim) {
		note("interim answers", "%d became %d", len(direct.interim), len(through.interim))
	} else {
		for i := range direct.interim {
			compare("interim answer", direct.interim[i], through.interim[i], note)
		}
	}
	compare("answer", direct.answer, through.answer, note)
	return all
}

func compare(whose string, direct, through message, note func(what, format string, args ...any)) {
	if direct.line != through.line {
		note(whose+" line", "%q became %q", short(direct.line), short(through.line))
	}
	compareFields(whose, direct.header, through.header, note)
	compareFields(whose+" trailer", direct.trailers, through.trailers, note)
	if direct.body != through.body {
		note(whose+" body", "%q became %q", short(direct.body), short(through.body))
	}
}

// compareFields notes what happened to each header name, and to the order and
// spelling of the names that are in both.
func compareFields(whose string, direct, through []field, note func(what, format string, args ...any)) {
	was, is := values(direct), values(through)
	for _, name := range names(direct, through) {
		before, after := was[name], is[name]
		what := whose + " " + name
		switch {
		case len(after) == 0:
			note(what+" dropped", "%q", before)
		case len(before) == 0:
			note(what+" added", "%q", after)
		case !slices.Equal(before, after):
			note(what+" changed", "%q became %q", before, after)
		}
	}
	if a, b := spellings(direct, is), spellings(through, was); !slices.Equal(a, b) {
		if !slices.Equal(lower(a), lower(b)) {
			note(whose+" headers in another order", "%s became %s", short(strings.Join(a, " ")), short(strings.Join(b, " ")))
		}
		slices.SortStableFunc(a, caseless)
		slices.SortStableFunc(b, caseless)
		if !slices.Equal(a, b) {
			note(whose+" header names in another case", "%s became %s", short(strings.Join(a, " ")), short(strings.Join(b, " ")))
		}
	}
}

func values(fields []field) map[string][]string {
	all := map[string][]string{}
	for _, f := range fields {
		name := strings.ToLower(f.name)
		all[name] = append(all[name], f.value)
	}
	return all
}

// names returns all names in lower case, without duplicates.
func names(lists ...[]field) []string {
	var all []string
	for _, fields := range lists {
		for _, f := range fields {
			if name := strings.ToLower(f.name); !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// spellings returns, in order, the names that occur equally often in other.
func spellings(fields []field, other map[string][]string) []string {
	own := values(fields)
	var all []string
	for _, f := range fields {
		if name := strings.ToLower(f.name); len(own[name]) == len(other[name]) {
			all = append(all, f.name)
		}
	}
	return all
}

// caseless compares names without regard to case.
func caseless(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }

func lower(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = strings.ToLower(name)
	}
	return all
}

func short(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}
