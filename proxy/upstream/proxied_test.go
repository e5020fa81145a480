package upstream

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// through has a transport use a proxy.
func through(t *testing.T, proxy string) func(*Config) {
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) { c.Proxy = func(*http.Request) (*url.URL, error) { return u, nil } }
}

// connects is what an HTTP proxy does before it joins two connections. It wants the credentials
// me:secret.
func connects(t *testing.T, c net.Conn) net.Conn {
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		t.Errorf("the proxy reads a request: %v", err)
		return c
	}
	if got := req.Header.Get("Proxy-Authorization"); got != "Basic bWU6c2VjcmV0" || req.Method != "CONNECT" || req.RequestURI != "api.test:443" {
		t.Errorf("the proxy got %s %s with %q", req.Method, req.RequestURI, got)
	}
	io.WriteString(c, "HTTP/1.1 200 Connected\r\n\r\n")
	return c
}

// relays is what a SOCKS proxy without credentials does (RFC 1928).
func relays(c net.Conn) net.Conn {
	head := make([]byte, 5)
	io.ReadFull(c, head[:2])
	io.ReadFull(c, make([]byte, head[1]))
	c.Write([]byte{5, 0})
	io.ReadFull(c, head)
	io.ReadFull(c, make([]byte, head[4]+2))
	c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	return c
}

// Through each kind of proxy, a connection is used again, and one that was closed gets no request.
func TestProxies(t *testing.T) {
	t.Parallel()
	for proxy, front := range map[string]func(*testing.T, *api, net.Conn) net.Conn{
		"http://me:secret@proxy.test": func(t *testing.T, _ *api, c net.Conn) net.Conn { return connects(t, c) },
		"https://me:secret@proxy.test": func(t *testing.T, a *api, c net.Conn) net.Conn {
			return connects(t, tls.Server(c, a.secure))
		},
		"socks5://proxy.test": func(_ *testing.T, _ *api, c net.Conn) net.Conn { return relays(c) },
	} {
		t.Run(strings.SplitN(proxy, ":", 2)[0], func(t *testing.T) {
			t.Parallel()
			a := listen(t).withTLS(tls.VersionTLS13)
			a.front = func(c net.Conn) net.Conn { return front(t, a, c) }
			transport := a.transport(through(t, proxy))
			p := a.kept(transport)
			again := begin(t, transport, a.request("POST", strings.NewReader("body")))
			p.serve()
			again.want("ok")

			p.below.(*net.TCPConn).CloseWrite()
			arrived(t, transport)
			fresh := begin(t, transport, a.request("POST", strings.NewReader("body")))
			a.accept().serve()
			fresh.want("ok")
			is(t, "connections", a.dials.Load(), 2)
		})
	}
}

// A second connection resumes the TLS session of the first.
func TestSessionIsResumed(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		a := listen(t).withTLS(version)
		transport := a.transport()
		p := a.kept(transport)
		is(t, "the first is resumed", p.Conn.(*tls.Conn).ConnectionState().DidResume, false)
		transport.CloseIdleConnections()
		is(t, "the second is resumed", a.kept(transport).Conn.(*tls.Conn).ConnectionState().DidResume, true)
	}
}
