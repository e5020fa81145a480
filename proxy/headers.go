package proxy

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"

	"ticketproxy/proxy/inbound"
)

// Header fields go through as they came: each line keeps its bytes, but not its
// place. The rules below list the exceptions. Two things are done elsewhere:
//
//   - httputil.ReverseProxy (Go 1.26) removes the hop-by-hop fields of requests and
//     answers (RFC 9110, section 7.6.1), and from requests Forwarded and
//     X-Forwarded-For, -Host and -Proto, before forwarder.rewrite is called. The rules
//     below remove their other spellings. To let one of these fields through,
//     forwarder.rewrite would have to copy it from the incoming request, after
//     sanitizeRequest.
//   - bearer.send sets Authorization.

// A direction is a way that header fields go; directions are a set.
type direction int

const (
	toAPI    direction = 1 << iota // a request
	toApp                          // an answer
	interims                       // an interim answer (1xx), besides toApp
	trailers                       // the trailer of an answer
)

// A spelling says which names a rule is for.
type spelling int

const (
	exactly     spelling = iota // the name as net/http spells it
	folded                      // also with underscores: some servers take one for a hyphen
	underscored                 // only the spelling with underscores, which is another field to net/http
)

// A headerRule removes a header field.
type headerRule struct {
	name     string // a final * stands for any rest
	in       direction
	spelling spelling
	why      string
}

// headerRules returns the rules for all fields to remove. If cookies is true, cookies
// go through.
func headerRules(cookies bool) []headerRule {
	const (
		origin   = "an app cannot vouch for where a request came from"
		framing  = "a server that takes the underscore for a hyphen reads another body"
		hop      = "it is of one connection (RFC 9110, section 7.6.1)"
		trailing = "a trailer may not say it (RFC 9110, section 6.5.1)"
	)
	rules := []headerRule{
		{"Forwarded", toAPI, folded, origin},
		{"X-Forwarded-*", toAPI, folded, origin},
		{"X-Real-Ip", toAPI, folded, origin},
		{"Proxy-Authorization", toAPI, folded, "it is for a proxy, and that is us (RFC 9110, section 11.7.2)"},
		{"Content-Length", toAPI, underscored, framing},
		{"Transfer-Encoding", toAPI, underscored, framing},

		{inbound.ErrorHeader, toApp | trailers, folded, "it marks what is ours, and only that"},

		{"Connection", interims | trailers, exactly, hop},
		{"Keep-Alive", interims | trailers, exactly, hop},
		{"Proxy-Authenticate", interims, exactly, hop},
		{"Proxy-Connection", interims, exactly, hop},
		{"Te", interims | trailers, exactly, hop},
		{"Trailer", interims, exactly, hop},
		{"Upgrade", interims | trailers, exactly, hop},

		{"Content-Length", trailers, exactly, trailing},
		{"Transfer-Encoding", trailers, exactly, trailing},
		{"Set-Cookie", trailers, exactly, trailing},
		{"Access-Control-*", trailers, exactly, trailing},
	}
	if !cookies {
		const local = "browsers send the cookies of all ports of localhost together"
		rules = append(rules, headerRule{"Cookie", toAPI, folded, local}, headerRule{"Set-Cookie", toApp, exactly, local})
	}
	return rules
}

// A headerFilter is the rules of one direction, made fast: most names are kept
// after a look at their first letter.
type headerFilter struct {
	letters [256]bool
	rules   map[string]spelling // by name in lower case
	prefix  map[string]spelling // the same
}

func newHeaderFilter(rules []headerRule, in direction) *headerFilter {
	f := &headerFilter{rules: map[string]spelling{}, prefix: map[string]spelling{}}
	for _, r := range rules {
		if r.in&in == 0 {
			continue
		}
		name := strings.ToLower(r.name)
		f.letters[name[0]], f.letters[name[0]-'a'+'A'] = true, true
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			f.prefix[prefix] = r.spelling
		} else {
			f.rules[name] = r.spelling
		}
	}
	return f
}

// apply removes what the rules name.
func (f *headerFilter) apply(h http.Header) {
	for name := range h {
		if name != "" && f.letters[name[0]] && f.matches(name) {
			delete(h, name)
		}
	}
}

func (f *headerFilter) matches(name string) bool {
	var space [64]byte
	plain, underscores := space[:0], false // plain is in lower case, with hyphens
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '_':
			c, underscores = '-', true
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		plain = append(plain, c)
	}
	if s, ok := f.rules[string(plain)]; ok {
		return s.covers(underscores)
	}
	for prefix, s := range f.prefix {
		if len(plain) >= len(prefix) && string(plain[:len(prefix)]) == prefix {
			return s.covers(underscores)
		}
	}
	return false
}

// covers reports whether a rule is for a name with underscores, or without.
func (s spelling) covers(underscores bool) bool {
	return s == folded || (s == underscored) == underscores
}

// A headerFilters is the filters of all directions.
type headerFilters struct{ request, answer, interim, trailer *headerFilter }

func newHeaderFilters(cookies bool) headerFilters {
	rules := headerRules(cookies)
	return headerFilters{
		request: newHeaderFilter(rules, toAPI),
		answer:  newHeaderFilter(rules, toApp),
		interim: newHeaderFilter(rules, interims),
		trailer: newHeaderFilter(rules, trailers),
	}
}

// sanitizeRequest removes from an outgoing request what the rules name.
func (f headerFilters) sanitizeRequest(h http.Header) {
	f.request.apply(h)
	if _, ok := h["Te"]; ok { // which is for the next hop alone (RFC 9110, section 10.1.4)
		h["Connection"] = append(h["Connection"], "TE")
	}
}

// sanitizeResponse removes from an answer, or from an interim one, what the rules
// name and the token. For a browser it adds the CORS headers that the operator wants.
func (f headerFilters) sanitizeResponse(h http.Header, x *requestState) {
	redact(h, x.token.AccessToken.Reveal())
	f.answer.apply(h)
	if x.browser {
		setCORS(h, x.origin)
	}
}

// sanitizeInterim is sanitizeResponse for what comes before an answer (1xx), of
// which ReverseProxy removes nothing.
func (f headerFilters) sanitizeInterim(h http.Header, x *requestState) {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	f.interim.apply(h)
	f.sanitizeResponse(h, x)
}

// sanitizeTrailer removes from a trailer what the rules name and the token. Before
// a trailer comes, the header has only its names.
func (f headerFilters) sanitizeTrailer(h http.Header, token string) {
	redact(h, token)
	f.trailer.apply(h)
}

// dropUpgrade drops an Upgrade to anything but WebSocket, as a server may,
// and one in HTTP/1.0, as it must (RFC 9110, section 7.8): Java's client asks
// for h2c with each request.
func dropUpgrade(r *http.Request) {
	upgrade, ok := r.Header["Upgrade"]
	if ok && !(len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket") && r.ProtoAtLeast(1, 1)) {
		delete(r.Header, "Upgrade")
		delete(r.Header, "Http2-Settings")
	}
}

// A trailedBody is a body whose trailer is sanitized when it has come.
type trailedBody struct {
	io.ReadCloser
	res     *http.Response
	token   string
	filters headerFilters
}

// Read implements io.Reader.
func (b *trailedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.filters.sanitizeTrailer(b.res.Trailer, b.token)
	}
	return n, err
}

// redact hides the token where an upstream shows it in a header of its answer, as it
// is or as a URL has it: in a value it is replaced, and a line that shows it in its
// name is removed. A body goes through as it came.
func redact(h http.Header, token string) {
	redactForm(h, token)
	query, path := url.QueryEscape(token), url.PathEscape(token)
	if query == token {
		return
	}
	for _, form := range []string{query, path, lowerPercent(query), lowerPercent(path)} {
		redactForm(h, form)
	}
}

// lowerPercent spells percent-encodings with lower-case letters.
func lowerPercent(encoded string) string {
	b := []byte(encoded)
	for i := range max(len(b)-2, 0) {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

func redactForm(h http.Header, token string) {
	head, tail, split := strings.Cut(token, ":")
	for name, values := range h {
		if containsFold(name, token) {
			delete(h, name)
			continue
		}
		for i, v := range values {
			if len(v) >= len(token) && strings.Contains(v, token) {
				values[i] = strings.ReplaceAll(v, token, "[redacted]")
			}
			// A line that is the token reads as a name and a value.
			if split && strings.HasPrefix(v, tail) && hasSuffixFold(name, head) {
				delete(h, name)
			}
		}
	}
}

// containsFold is strings.Contains without regard to case: net/http spells the
// names of headers anew.
func containsFold(name, part string) bool {
	return len(name) >= len(part) && strings.Contains(strings.ToLower(name), strings.ToLower(part))
}

func hasSuffixFold(name, suffix string) bool {
	return len(name) >= len(suffix) && strings.EqualFold(name[len(name)-len(suffix):], suffix)
}
