package proxy

import (
	"io"
	"net/http"
	"strings"
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

// trailed is a body whose trailers are redacted, and lose what is not theirs to
// say (RFC 9110, section 6.5.1).
type trailed struct {
	io.ReadCloser
	res   *http.Response
	token string
}

func (t *trailed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err == io.EOF {
		redact(t.res.Trailer, t.token)
		for name := range t.res.Trailer {
			switch name {
			case "Connection", "Content-Length", "Keep-Alive", ErrorHeader, "Set-Cookie", "Te", "Transfer-Encoding", "Upgrade":
				delete(t.res.Trailer, name)
			}
			if strings.HasPrefix(name, "Access-Control-") {
				delete(t.res.Trailer, name)
			}
		}
	}
	return n, err
}

// redact hides the token where an upstream shows it in a header of its answer.
// A body goes through as it came.
func redact(h http.Header, token string) {
	for _, values := range h {
		for i, v := range values {
			if len(v) >= len(token) && strings.Contains(v, token) {
				values[i] = strings.ReplaceAll(v, token, "[redacted]")
			}
		}
	}
}
