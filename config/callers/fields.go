package callers

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What each object of the file may hold. The functions named *Fields are the list of its
// keys; callers.schema.json has the same.

func (r *reader) file(f *File, n *yaml.Node) {
	if r.object("", n, r.fileFields(f)) && !has(n, "callers") {
		r.add(0, "", "the file has no callers", hintForEmpty)
	}
}

func (r *reader) fileFields(f *File) []field {
	return []field{
		{"issuers", func(at string, n *yaml.Node) { r.entries(at, n, r.issuer(f)) }},
		{"callers", func(at string, n *yaml.Node) {
			r.entries(at, n, r.caller(f))
			if len(f.Callers) > maxCallers {
				r.add(n.Line, at, fmt.Sprintf("are more than %d", maxCallers), "name fewer callers")
			}
		}},
		{"limits", func(at string, n *yaml.Node) { r.entries(at, n, r.limit(f)) }},
	}
}

func (r *reader) issuer(f *File) func(name, at string, n *yaml.Node) {
	return func(name, at string, n *yaml.Node) {
		i := Issuer{Name: name}
		if r.object(at, n, r.issuerFields(&i)) {
			f.Issuers[name] = i
		}
	}
}

func (r *reader) issuerFields(i *Issuer) []field {
	return []field{
		{"kubernetes", func(at string, n *yaml.Node) { r.boolean(at, n, &i.Kubernetes) }},
		{"url", func(at string, n *yaml.Node) {
			r.parsed(at, n, func(text string) error { return parseIssuerURL(text, &i.URL) })
		}},
		{"audience", func(at string, n *yaml.Node) { r.audience(at, n, i) }},
		{"caFile", func(at string, n *yaml.Node) {
			r.parsed(at, n, func(text string) error { return parseCAFile(text, &i.CAFile) })
		}},
	}
}

// parsed reads a text that a function parses.
func (r *reader) parsed(at string, n *yaml.Node, parse func(string) error) {
	if text, ok := r.text(at, n); ok {
		if err := parse(text); err != nil {
			r.flaw(n.Line, at, err)
		}
	}
}

// audience reads one audience or a list of them.
func (r *reader) audience(at string, n *yaml.Node, i *Issuer) {
	one := func(at string, n *yaml.Node) {
		text, ok := r.text(at, n)
		switch {
		case !ok:
		case text == "":
			r.add(n.Line, at, "is empty", "write the audience that tokens for this program have, like ticketproxy")
		case strings.HasPrefix(text, "https://kubernetes.default.svc"):
			r.add(n.Line, at, "is the audience of the Kubernetes API server, whose tokens must not be sent here",
				"write an audience of its own, like ticketproxy, and have the apps' tokens made for it")
		default:
			i.Audiences = append(i.Audiences, text)
		}
	}
	if n.Kind == yaml.ScalarNode {
		one(at, n)
		return
	}
	r.filled(at, n, "write the audience that tokens for this program have, like ticketproxy", one)
}

func parseIssuerURL(text string, into *string) error {
	const hint = "write the claim iss of its tokens, like https://ci.example.com"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return &flaw{"is not an absolute https URL", hint}
	case u.User != nil:
		return &flaw{"holds credentials", "remove what stands before the @"}
	case u.RawQuery != "" || strings.ContainsAny(text, "?#"):
		return &flaw{"has a query or a fragment", hint}
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return &flaw{"uses http, but keys may come unencrypted from loopback hosts only", "write https://"}
	}
	*into = text
	return nil
}

func parseCAFile(text string, into *string) error {
	if !filepath.IsAbs(text) {
		return &flaw{quote(text) + " is not an absolute path", "write the path of a PEM bundle, like /etc/ssl/company.pem"}
	}
	*into = filepath.Clean(text)
	return nil
}

func (r *reader) limit(f *File) func(name, at string, n *yaml.Node) {
	return func(name, at string, n *yaml.Node) {
		var l Limit
		if r.object(at, n, r.limitFields(&l)) {
			r.rate(at, n, &l.Rate)
			if l == (Limit{}) {
				r.add(n.Line, at, "has no limit", "write per and requests, concurrent, or heed: true")
			}
			f.Limits[name] = l
		}
	}
}

func (r *reader) limitFields(l *Limit) []field {
	return append(r.rateFields(&l.Rate),
		field{"concurrent", func(at string, n *yaml.Node) { r.count(at, n, &l.Concurrent) }},
		field{"heed", func(at string, n *yaml.Node) { r.boolean(at, n, &l.Heed) }},
	)
}

func (r *reader) rateFields(rate *Rate) []field {
	return []field{
		{"per", func(at string, n *yaml.Node) { r.parsed(at, n, rate.parsePer) }},
		{"requests", func(at string, n *yaml.Node) { r.count(at, n, &rate.Requests) }},
		{"burst", func(at string, n *yaml.Node) { r.count(at, n, &rate.Burst) }},
	}
}

// parsePer parses per.
func (r *Rate) parsePer(text string) error {
	for _, p := range periods() {
		if p.name == text {
			r.Per = p.length
			return nil
		}
	}
	return &flaw{quote(text) + " is not a time that rates are per", "write second, minute, hour or day"}
}

// rate checks that a rate is whole, and fills in its burst: what one second allows, and at
// least one request.
func (r *reader) rate(at string, n *yaml.Node, rate *Rate) {
	switch {
	case has(n, "requests") && !has(n, "per"):
		r.add(n.Line, at, "has requests, and no per", "write per: second, minute, hour or day")
	case !has(n, "requests") && has(n, "per", "burst"):
		r.add(n.Line, at, "has per or burst, and no requests", "write how many requests there may be in that time")
	}
	if rate.Burst == 0 && rate.Per != 0 {
		rate.Burst = max(1, int(float64(rate.Requests)/rate.Per.Seconds()))
	}
}
