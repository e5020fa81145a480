package callers

import (
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// keyPrefix begins every key that ticketproxy key makes.
const keyPrefix = "tpk_"

// A draft is a caller that is being read.
type draft struct {
	Caller
	serviceAccount string
	jwt            JWT // from issuer, subject and claims
}

func (r *reader) caller(f *File) func(name, at string, n *yaml.Node) {
	return func(name, at string, n *yaml.Node) {
		d := draft{Caller: Caller{Name: name}}
		mistakes := len(r.mistakes)
		if !r.object(at, n, r.callerFields(&d)) {
			return
		}
		given := func(names ...string) bool { return has(n, names...) }
		switch {
		case given("issuer") != given("subject"):
			r.add(n.Line, at, "has one of issuer and subject, and not the other", "write both, or neither")
		case given("claims") && !given("issuer"):
			r.add(n.Line, at, "has claims, and no issuer and subject", "write the issuer and the subject of the tokens, too")
		case d.jwt.Subject.Prefix && d.jwt.Subject.Text == "" && len(d.jwt.Claims) == 0:
			r.add(r.lines[below(at, "subject")], below(at, "subject"), "lets everyone whom this issuer knows be this caller",
				"write what the subject begins with, or claims that the token must have")
		case !given("keys", "serviceAccount", "issuer", "certificate", "uid", "listen") && len(r.mistakes) == mistakes:
			r.add(r.lines[at], at, "has nothing that proves it",
				"write one of: keys, serviceAccount, issuer with subject, certificate, uid, listen")
		}
		if d.serviceAccount != "" {
			d.JWTs = append(d.JWTs, JWT{Subject: Pattern{Text: d.serviceAccount}})
		}
		if d.jwt.Issuer != "" {
			d.JWTs = append(d.JWTs, d.jwt)
		}
		f.Callers[name] = d.Caller
	}
}

func (r *reader) callerFields(d *draft) []field {
	return []field{
		{"keys", func(at string, n *yaml.Node) { r.keys(at, n, d) }},
		{"serviceAccount", func(at string, n *yaml.Node) {
			r.lines[at] = n.Line
			r.parsed(at, n, func(text string) (err error) {
				d.serviceAccount, err = parseServiceAccount(text)
				return err
			})
		}},
		{"issuer", func(at string, n *yaml.Node) { r.reference(at, n, &d.jwt.Issuer) }},
		{"subject", func(at string, n *yaml.Node) {
			r.lines[at] = n.Line
			r.parsed(at, n, func(text string) (err error) {
				d.jwt.Subject, err = parseSubject(text)
				return err
			})
		}},
		{"claims", func(at string, n *yaml.Node) { r.claims(at, n, &d.jwt) }},
		{"certificate", func(at string, n *yaml.Node) {
			r.lines[at] = n.Line
			r.parsed(at, n, func(text string) error {
				p, err := parseURIPattern(text)
				d.Certificate = &p
				return err
			})
		}},
		{"uid", func(at string, n *yaml.Node) {
			r.lines[at] = n.Line
			if value, ok := r.integer(at, n, 0, 1<<32-2); ok {
				uid := uint32(value)
				d.UID = &uid
			}
		}},
		{"listen", func(at string, n *yaml.Node) {
			r.lines[at] = n.Line
			r.parsed(at, n, func(text string) error {
				a, err := parseAddress(text)
				d.Listen = &a
				return err
			})
		}},
		{"may", func(at string, n *yaml.Node) { r.list(at, n, r.rule(d)) }},
		{"tokens", func(at string, n *yaml.Node) { r.tokens(at, n, d) }},
		{"rate", func(at string, n *yaml.Node) {
			if r.object(at, n, r.rateFields(&d.Rate)) {
				r.rate(at, n, &d.Rate)
				if len(n.Content) == 0 {
					r.add(n.Line, at, "has no limit", "write per and requests, or remove it")
				}
			}
		}},
	}
}

// reference reads a name that stands for something else, and remembers its line.
func (r *reader) reference(at string, n *yaml.Node, into *string) {
	if text, ok := r.text(at, n); ok {
		*into = text
		r.lines[at] = n.Line
	}
}

// emptyDigest is the SHA-256 of nothing.
const emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// keys reads the digests of keys. No mistake shows what stands there.
func (r *reader) keys(at string, n *yaml.Node, d *draft) {
	const hint = "write the line that ticketproxy key NAME prints: sha256: and 64 hexadecimal digits"
	r.filled(at, n, hint, func(at string, n *yaml.Node) {
		r.lines[at] = n.Line
		var digest [32]byte
		digits, ok := strings.CutPrefix(n.Value, "sha256:")
		_, err := hex.Decode(digest[:], []byte(digits[:min(len(digits), 64)]))
		switch {
		case strings.HasPrefix(n.Value, keyPrefix):
			r.add(n.Line, at, "is a key itself, which must not stand in this file",
				"write sha256: and its digest (printf %s KEY | sha256sum); make a new key if others can read this file")
		case n.Kind != yaml.ScalarNode || !ok || err != nil || len(digits) != 64:
			r.add(n.Line, at, "is not the digest of a key", hint)
		case strings.EqualFold(digits, emptyDigest):
			r.add(n.Line, at, "is the digest of an empty text, and of no key", hint)
		default:
			d.Keys = append(d.Keys, digest)
		}
	})
	if n.Kind == yaml.SequenceNode && len(n.Content) > 2 {
		r.add(n.Line, at, "has more than two keys", "keep the one that is used, and the one that replaces it")
	}
}

var (
	label     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

// parseServiceAccount returns the subject of the tokens of a ServiceAccount.
func parseServiceAccount(text string) (string, error) {
	namespace, name, ok := strings.Cut(text, "/")
	if !ok || !label.MatchString(namespace) || !subdomain.MatchString(name) || len(name) > 253 {
		return "", &flaw{quote(text) + " does not name a ServiceAccount", "write NAMESPACE/NAME, like tickets/report"}
	}
	return "system:serviceaccount:" + namespace + ":" + name, nil
}

// claims reads what a token must say.
func (r *reader) claims(at string, n *yaml.Node, j *JWT) {
	wanted := map[string][]any{}
	r.pairs(at, n, func(key, value *yaml.Node) {
		in, at := at, below(at, key.Value)
		var values []any
		one := func(at string, n *yaml.Node) {
			if value, ok := r.scalar(at, n); ok {
				values = append(values, value)
			}
		}
		switch {
		case key.Value == "":
			r.add(key.Line, in, "has a claim without a name", "write the name of the claim")
			return
		case slices.Contains([]string{"iss", "sub", "aud", "exp", "nbf", "iat"}, key.Value):
			r.add(key.Line, at, "is checked anyway", "use issuer and subject of the caller, or audience of the issuer")
			return
		case !r.hasValue(at, value):
			return
		case value.Kind == yaml.SequenceNode:
			r.filled(at, value, "write the values that the claim may have", one)
		default:
			one(at, value)
		}
		wanted[key.Value] = values
	})
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		r.add(n.Line, at, "is empty", "write claims that the token must have, or remove it")
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		j.Claims = append(j.Claims, Claim{name, wanted[name]})
	}
}

// tokens reads the accounts whose tokens the caller may be handed.
func (r *reader) tokens(at string, n *yaml.Node, d *draft) {
	r.list(at, n, func(at string, n *yaml.Node) {
		var account string
		r.reference(at, n, &account)
		switch {
		case account == "":
		case account == "*":
			r.add(n.Line, at, `is "*", but whoever may hold an account's tokens is named for each`, "name the accounts")
		case slices.Contains(d.Tokens, account):
			r.add(n.Line, at, fmt.Sprintf("names %s twice", quote(account)), "keep one of the two")
		default:
			d.Tokens = append(d.Tokens, account)
		}
	})
}
