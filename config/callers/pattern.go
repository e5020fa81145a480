package callers

import (
	"net/url"
	"strings"
)

// A Pattern matches the subjects of tokens.
type Pattern struct {
	Text   string // the subject, or what it begins with
	Prefix bool   // any subject that begins with Text matches
}

// Match reports whether a subject matches.
func (p Pattern) Match(subject string) bool {
	if p.Prefix {
		return strings.HasPrefix(subject, p.Text)
	}
	return subject == p.Text
}

// String returns the pattern as it is written.
func (p Pattern) String() string {
	if p.Prefix {
		return p.Text + "*"
	}
	return p.Text
}

// overlaps reports whether a subject may match both.
func (p Pattern) overlaps(q Pattern) bool {
	return p.Match(q.Text) || q.Match(p.Text)
}

// A URIPattern matches the URI SAN of certificates.
type URIPattern struct {
	Text string // the URI, without a slash at its end where Rest is set
	Rest bool   // the URI Text matches, and those whose path continues with a slash
}

// Match reports whether a URI matches, byte for byte. A URI with a dot segment, an empty
// segment, a query, a fragment or a percent encoding matches no pattern with Rest.
func (p URIPattern) Match(uri string) bool {
	rest, ok := strings.CutPrefix(uri, p.Text)
	switch {
	case !ok:
		return false
	case rest == "":
		return true
	case !p.Rest || rest[0] != '/' || strings.ContainsAny(rest, "%?#\\"):
		return false
	}
	for segment := range strings.SplitSeq(rest[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// String returns the pattern as it is written.
func (p URIPattern) String() string {
	if p.Rest {
		return p.Text + "/**"
	}
	return p.Text
}

// overlaps reports whether a URI may match both.
func (p URIPattern) overlaps(q URIPattern) bool {
	return p.Match(q.Text) || q.Match(p.Text)
}

const hintForCertificate = `write the URI SAN of the certificate, like "spiffe://example.org/ns/shop/sa/web", ` +
	`or all below one with /** at its end`

// parseURIPattern parses certificate.
func parseURIPattern(text string) (URIPattern, error) {
	uri, rest := strings.CutSuffix(text, "/**")
	p := URIPattern{Text: uri, Rest: rest}
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" && u.Path == "":
		return p, &flaw{quote(text) + " is not a URI", hintForCertificate}
	case strings.Contains(uri, "*"):
		return p, &flaw{quote(text) + " has a * elsewhere than in /** at its end", hintForCertificate}
	case rest && u.Host == "":
		return p, &flaw{quote(text) + " names no host before /**", hintForCertificate}
	case rest && (strings.ContainsAny(uri, "?#%") || strings.HasSuffix(uri, "/")):
		return p, &flaw{quote(text) + " has a query, a fragment, a percent encoding or an empty segment", hintForCertificate}
	}
	return p, nil
}

// parseSubject parses subject.
func parseSubject(text string) (Pattern, error) {
	const hint = `write the whole claim sub, or what it begins with and one * at the end, like "project:42:*"`
	subject, prefix := strings.CutSuffix(text, "*")
	p := Pattern{Text: subject, Prefix: prefix}
	switch {
	case text == "":
		return p, &flaw{"is empty", hint}
	case strings.Contains(subject, "*"):
		return p, &flaw{quote(text) + " has a * elsewhere than at its end", hint}
	}
	return p, nil
}
