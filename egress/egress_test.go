package egress_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"ticketproxy/egress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen serves connections on loopback until the test ends, and returns their
// address.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer c.Close(); serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String()
}

// relay joins two connections until either ends.
func relay(a, b net.Conn) {
	var all sync.WaitGroup
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		all.Go(func() { io.Copy(pair[0], pair[1]); a.Close(); b.Close() })
	}
	all.Wait()
}

// tunnels is an HTTP proxy that requires the credentials. It connects to address,
// whichever target was requested.
func tunnels(t *testing.T, credentials, address string) func(net.Conn) {
	return func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		if req.Method != http.MethodConnect || req.RequestURI != "example.com:443" {
			t.Errorf("the proxy got %s %s", req.Method, req.RequestURI)
		}
		req.Header.Set("Authorization", req.Header.Get("Proxy-Authorization"))
		if user, password, _ := req.BasicAuth(); user+":"+password != credentials {
			io.WriteString(c, "HTTP/1.1 407 secret-words\r\nContent-Length: 0\r\n\r\n")
			return
		}
		there, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 Connected\r\n\r\n")
		relay(c, there)
	}
}

// socks is a SOCKS proxy (RFC 1928) without credentials that connects to address.
func socks(address string) func(net.Conn) {
	return func(c net.Conn) {
		head := make([]byte, 2)
		io.ReadFull(c, head)
		io.ReadFull(c, make([]byte, head[1]))
		c.Write([]byte{5, 0})
		head = make([]byte, 5)
		io.ReadFull(c, head)
		io.ReadFull(c, make([]byte, head[4]+2))
		c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		there, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		relay(c, there)
	}
}

func answers(answer string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.WriteString(c, answer)
		}
	}
}

func TestDialTLS(t *testing.T) {
	t.Parallel()
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	t.Cleanup(api.Close)
	address := api.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere.Close()
	roots := x509.NewCertPool()
	roots.AddCert(api.Certificate())

	for name, test := range map[string]struct {
		proxy string // a URL; %s is where serve listens
		serve func(net.Conn)
		want  string // part of the error; "" for no error
	}{
		"direct":              {},
		"tunnel":              {proxy: "http://me:pass%%40word@%s", serve: tunnels(t, "me:pass@word", address)},
		"socks":               {proxy: "socks5://%s", serve: socks(address)},
		"no credentials":      {"http://%s", tunnels(t, "me:pass@word", address), "asks for a user name and password (407)"},
		"wrong credentials":   {"http://me:other-secret@%s", tunnels(t, "me:pass@word", address), "asks for a user name and password (407)"},
		"refusal":             {"http://me:other-secret@%s", answers("HTTP/1.1 502 secret-words\r\n\r\n"), "answered CONNECT with 502"},
		"no HTTP":             {"http://%s", answers("secret-words\r\n\r\n"), "it gives no connection"},
		"no answer":           {"http://%s", answers(""), "it closed the connection"},
		"down":                {"http://me:other-secret@" + nowhere.Addr().String(), nil, "cannot be used: connection refused"},
		"down, socks":         {"socks5://me:other-secret@" + nowhere.Addr().String(), nil, "cannot be used: connection refused"},
		"TLS without trust":   {"https://localhost:" + port, nil, "its certificate is not trusted"},
		"endless answer":      {"http://%s", answers("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)), "it closed the connection"},
		"TLS to a plain port": {"https://%s", func(c net.Conn) { io.WriteString(c, "not TLS") }, "it gives no connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := egress.Dialer{TLS: &tls.Config{RootCAs: roots}}
			d.Dial = func(ctx context.Context, network, to string) (net.Conn, error) {
				if to == "example.com:443" {
					to = address
				}
				return new(net.Dialer).DialContext(ctx, network, to)
			}
			through := test.proxy
			if test.serve != nil {
				through = fmt.Sprintf(test.proxy, listen(t, test.serve))
			}
			if through != "" {
				u, err := url.Parse(through)
				if err != nil {
					t.Fatal(err)
				}
				d.Proxy = func(r *http.Request) (*url.URL, error) {
					if r.URL.String() != "https://example.com:443" {
						t.Errorf("asked for %s", r.URL)
					}
					return u, nil
				}
			}
			transport := &http.Transport{DialTLSContext: d.DialTLS, DisableKeepAlives: true}
			res, err := (&http.Client{Transport: transport}).Get("https://example.com")
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if body, _ := io.ReadAll(res.Body); string(body) != "ok" {
					t.Errorf("got %q", body)
				}
				return
			}
			var proxyErr *egress.Error
			if !errors.As(err, &proxyErr) || !strings.Contains(proxyErr.Error(), test.want) || !strings.Contains(proxyErr.Error(), "the egress proxy ") {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(proxyErr.Error()+proxyErr.Hint(), "secret") || !strings.Contains(proxyErr.Hint(), "HTTPS_PROXY") {
				t.Errorf("%v\nhint: %s", proxyErr, proxyErr.Hint())
			}
		})
	}
}

// TestDialTLSTimesOut tests a proxy and a server that do not answer.
func TestDialTLSTimesOut(t *testing.T) {
	t.Parallel()
	for name, through := range map[string]*url.URL{"server": nil, "proxy": {Scheme: "http", Host: "proxy.test:3128"}} {
		synctest.Test(t, func(t *testing.T) {
			d := egress.Dialer{
				TLS:   new(tls.Config),
				Proxy: func(*http.Request) (*url.URL, error) { return through, nil },
				Dial: func(context.Context, string, string) (net.Conn, error) {
					here, there := net.Pipe()
					go io.Copy(io.Discard, there)
					return here, nil
				},
			}
			start := time.Now()
			_, err := d.DialTLS(t.Context(), "tcp", "example.com:443")
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) > time.Minute {
				t.Errorf("%s: after %v: %v", name, time.Since(start), err)
			}
			var proxyErr *egress.Error
			if errors.As(err, &proxyErr) != (through != nil) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}
