package proxy

import (
	"io"
	"net/http"
	"strings"

	"ticketproxy/proxy/inbound"
)

// clean removes from an outgoing request what an app cannot vouch for: where it
// came from, and, unless they are asked for, the cookies of whatever else runs
// on localhost. Some servers take a header's underscore for a hyphen.
func clean(h http.Header, cookies bool) {
	for name := range h {
		if !strings.Contains("XFPCT", name[:min(1, len(name))]) {
			continue // nearly all, before anything is copied
		}
		switch plain := strings.ToLower(strings.ReplaceAll(name, "_", "-")); {
		case strings.HasPrefix(plain, "x-forwarded-"),
			plain == "forwarded", plain == "x-real-ip", plain == "proxy-authorization",
			plain == "cookie" && !cookies,
			plain != strings.ToLower(name) && (plain == "content-length" || plain == "transfer-encoding"):
			delete(h, name)
		}
	}
}

// refuseUpgrade drops an Upgrade to anything but WebSocket, as a server may,
// and one in HTTP/1.0, as it must (RFC 9110, section 7.8): Java's client asks
// for h2c with each request.
func refuseUpgrade(r *http.Request) {
	upgrade, ok := r.Header["Upgrade"]
	if ok && !(len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket") && r.ProtoAtLeast(1, 1)) {
		delete(r.Header, "Upgrade")
		delete(r.Header, "Http2-Settings")
	}
}

// trailed is a body whose trailers are sanitized when they have come.
type trailed struct {
	io.ReadCloser
	res   *http.Response
	token string
}

func (t *trailed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err == io.EOF {
		sanitizeTrailer(t.res.Trailer, t.token)
	}
	return n, err
}

// sanitizeTrailer redacts trailers, and removes what a trailer may not say (RFC
// 9110, section 6.5.1). Before they come, the header has only their names.
func sanitizeTrailer(h http.Header, token string) {
	redact(h, token)
	for name := range h {
		switch name {
		case "Connection", "Content-Length", "Keep-Alive", "Set-Cookie", "Te", "Transfer-Encoding", "Upgrade":
			delete(h, name)
		}
		if strings.HasPrefix(name, "Access-Control-") || isErrorHeader(name) {
			delete(h, name)
		}
	}
}

// isErrorHeader reports whether an app could take the name for inbound.ErrorHeader. Some
// servers take a header's underscore for a hyphen.
func isErrorHeader(name string) bool {
	return len(name) == len(inbound.ErrorHeader) && strings.EqualFold(strings.ReplaceAll(name, "_", "-"), inbound.ErrorHeader)
}

// redact hides the token where an upstream shows it in a header of its answer: in
// a value it is replaced, and a line that shows it in its name is removed. A body
// goes through as it came.
func redact(h http.Header, token string) {
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
