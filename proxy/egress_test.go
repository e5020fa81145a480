package proxy_test

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"ticketproxy/proxy/upstream"
)

// The app is told which egress proxy is at fault.
func TestEgressProxyIsNamed(t *testing.T) {
	t.Parallel()
	nowhere := listen(t)
	nowhere.Close()
	asks := func(c net.Conn) {
		io.CopyN(io.Discard, c, 1)
		io.WriteString(c, "HTTP/1.1 407 secret-word\r\n\r\n")
	}
	for name, test := range map[string]struct {
		down   bool
		detail string
	}{
		"down":                 {true, "cannot be used: connection refused"},
		"without its password": {false, "asks for a user name and password (407)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var at string
			w := beginRaw(t, asks, func(w *fixture) {
				at = w.back.Addr().String()
				if test.down {
					at = nowhere.Addr().String()
				}
				through := &url.URL{Scheme: "http", Host: at, User: url.UserPassword("me", "secret-word")}
				w.upstream.URL = parse(w, "https://api.test")
				w.upstream.Transport = upstream.New(upstream.Config{Timeout: time.Minute, Proxy: func(*http.Request) (*url.URL, error) { return through, nil }, Dial: new(net.Dialer).DialContext})
			})
			res, body := w.do("GET", "/", nil)
			is(t, "detail", problem(t, res, body, 502, "upstream_unreachable").Detail, "the egress proxy "+at+" "+test.detail)
			is(t, "credentials shown", strings.Contains(body, "secret"), false)
		})
	}
}
