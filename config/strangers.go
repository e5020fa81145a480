package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// strangers reports the variables that have our prefix but no meaning here.
func (p *parser) strangers(drafts []*draft) {
	bare := names[Upstream](Prefix)
	for _, name := range slices.Sorted(maps.Keys(p.vars)) {
		switch {
		case slices.Contains(p.known, name):
		case slices.Contains(bare, name):
			if p.vars[name] != "" {
				p.report.add(name, "belongs to no upstream, since TICKETPROXY_UPSTREAMS gives them names", p.cureForBare(name, drafts))
			}
		case isServiceLink(name, p.vars[name]):
		default:
			p.report.add(name, "is not a variable of ticketproxy", p.cureForStranger(name))
		}
	}
}

func (p *parser) cureForBare(name string, drafts []*draft) string {
	var right []string
	for _, d := range drafts {
		right = append(right, d.variable(strings.TrimPrefix(name, Prefix)))
	}
	if len(right) == 0 {
		return "correct TICKETPROXY_UPSTREAMS, or leave it out"
	}
	return "write " + alternatives(right)
}

func (p *parser) cureForStranger(name string) string {
	key := strings.TrimPrefix(name, Prefix)
	var keys []string
	for _, known := range p.known {
		keys = append(keys, strings.TrimPrefix(known, Prefix))
	}
	if near := nearest(key, keys); near != "" {
		return "did you mean " + Prefix + near + "?"
	}
	for _, variable := range names[Upstream]("_") {
		owner, ok := strings.CutSuffix(key, variable)
		owner = strings.ToLower(strings.ReplaceAll(owner, "_", "-"))
		if ok && owner != "" && isName(owner) {
			return "if " + quote(owner) + " is an upstream, name it in TICKETPROXY_UPSTREAMS; otherwise remove the variable"
		}
	}
	if base, ok := strings.CutSuffix(name, fileSuffix); ok && slices.Contains(p.known, base) {
		return "set " + base + " itself: only secrets can be given as files"
	}
	return seeHelp
}

// isServiceLink reports whether a variable is one that Kubernetes sets in
// every pod that shares a namespace with a Service called ticketproxy or
// ticketproxy-something. Nobody wrote it, so it is no misspelling.
//
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
func isServiceLink(name, value string) bool {
	shape := regexp.MustCompile(`^TICKETPROXY(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	port := regexp.MustCompile(`^TICKETPROXY(_[A-Z0-9_]+)?_PORT$`)
	return shape.MatchString(name) || port.MatchString(name) && strings.Contains(value, "://")
}

// nearest returns the word that text is most likely a misspelling of, or "".
func nearest(text string, words []string) string {
	near, limit := "", min(3, max(1, len(text)/4))
	for _, word := range words {
		if d := distance(text, word); d <= limit {
			near, limit = word, d-1
		}
	}
	return near
}

// distance returns how many bytes must be inserted, deleted or replaced to
// make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
