package proxy

import (
	"bytes"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"ticketproxy/proxy/inbound"
)

// A StubTokenEndpoint answers apps that do their own OAuth at the provider's token
// path, so that they keep working: with a grant in the provider's own form
// whose tokens are worthless. The app's Authorization is replaced anyway.
// Nothing that the app sends there goes out, credentials included.
type StubTokenEndpoint struct {
	Paths []string // of the token endpoint, as apps call it
	Body  []byte   // JSON without spaces, with Placeholder as each token
}

// Placeholder stands for the tokens in the body of a StubTokenEndpoint. Where callers are
// known, a proof of the caller takes its place.
const Placeholder = "ticketproxy-placeholder"

// answers reports whether the request is for it: a POST, or a GET
// that holds a grant_type, which some issuers take too. A path may be spelled in
// any way that a server might take for the issuer's.
func (p *StubTokenEndpoint) answers(r *http.Request, paths ...string) bool {
	if p == nil || r.Method != http.MethodPost && !(r.Method == http.MethodGet && r.URL.RawQuery != "") {
		return false
	}
	return slices.ContainsFunc(paths, p.has) && (r.Method == http.MethodPost || r.URL.Query().Has("grant_type"))
}

func (p *StubTokenEndpoint) has(sent string) bool {
	sent, _, _ = strings.Cut(sent, "#") // a fragment, to some servers
	for range maxDecodings {
		sent = decoded(sent)
	}
	if end := strings.IndexAny(sent, "?#\x00"); end >= 0 {
		sent = sent[:end]
	}
	sent = path.Clean(plainSegments(strings.ReplaceAll(sent, `\`, "/")))
	return slices.ContainsFunc(p.Paths, func(own string) bool { return strings.EqualFold(path.Clean(own), sent) })
}

// maxDecodings is how often a path is decoded: servers behind others do it again.
const maxDecodings = 3

// plainSegments drops what some servers do not take for a part of a segment: its parameters (RFC
// 3986, section 3.3), spaces and control characters at either end, and dots at its own end.
func plainSegments(path string) string {
	if !strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == ';' || c == '.' || c == 0x7f }) {
		return path
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segment, _, _ = strings.Cut(segment, ";")
		segment = strings.TrimFunc(segment, func(c rune) bool { return c <= ' ' || c == 0x7f })
		if segment != "." && segment != ".." {
			segment = strings.TrimRight(segment, ".")
		}
		segments[i] = segment
	}
	return strings.Join(segments, "/")
}

// stubAnswers reports whether the request is one for the upstream's stub.
func (u *forwarder) stubAnswers(r *http.Request) bool {
	path := u.within(pathOf(r))
	return u.Stub.answers(r, path, u.below(path))
}

// serveStub answers a request for the stub, as RFC 6749, section 5.1, has it.
func (u *forwarder) serveStub(w http.ResponseWriter, r *http.Request, gate Gate, record *recording, origin string) {
	body := u.Stub.Body
	if gate != nil {
		sent := &inbound.CountedBody{ReadCloser: r.Body}
		r.Body = sent
		caller, grant, p := gate.Grant(r)
		record.proved(caller)
		record.received(sent.Count)
		if p != nil {
			p.OAuthError = inbound.NewOAuthError(p)
			refuse(w, p, origin)
			return
		}
		body = bytes.ReplaceAll(body, []byte(Placeholder), []byte(grant.AccessToken.Reveal()))
		if !grant.Until.IsZero() {
			body = withinLifetime(body, time.Until(grant.Until))
		}
	}
	setCORS(w.Header(), origin)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.Write(body)
}

// withinLifetime bounds the expires_in of a body by the lifetime of its access token. It is 1 at
// least, since clients take 0 for "not known".
func withinLifetime(body []byte, lifetime time.Duration) []byte {
	before, rest, ok := bytes.Cut(body, []byte(`"expires_in":`))
	after := bytes.TrimLeft(rest, "0123456789")
	stated, err := strconv.ParseInt(string(rest[:len(rest)-len(after)]), 10, 64)
	seconds := max(int64(lifetime/time.Second), 1)
	if !ok || err != nil || stated <= seconds {
		return body
	}
	return fmt.Appendf(nil, `%s"expires_in":%d%s`, before, seconds, after)
}
