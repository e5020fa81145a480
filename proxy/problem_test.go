package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/upstream"
)

// problem checks that an answer is a whole problem of ours, and returns it.
func problem(t *testing.T, res *http.Response, body string, status int, code string) inbound.Problem {
	t.Helper()
	is(t, "status", res.StatusCode, status)
	is(t, "error header", res.Header.Get(inbound.ErrorHeader), code)
	is(t, "type", res.Header.Get("Content-Type"), "application/problem+json")
	is(t, "cache", res.Header.Get("Cache-Control"), "no-store")
	var members map[string]any
	if err := json.Unmarshal([]byte(body), &members); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	for _, name := range []string{"type", "title", "detail", "upstream", "code"} {
		if text, _ := members[name].(string); text == "" {
			t.Errorf("member %s is missing in %s", name, body)
		}
	}
	is(t, "member status", members["status"], any(float64(status)))
	is(t, "member code", members["code"], any(code))
	is(t, "member upstream", members["upstream"], any("park"))
	if strings.Contains(body, "access-token") {
		t.Errorf("the token is in %s", body)
	}
	var p inbound.Problem
	json.Unmarshal([]byte(body), &p)
	return p
}

func TestUpstreamIsUnreachable(t *testing.T) {
	t.Parallel()
	answers := func(format string) func(net.Conn) {
		return func(c net.Conn) {
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err == nil {
				io.Copy(io.Discard, req.Body)
				fmt.Fprint(c, strings.ReplaceAll(format, "TOKEN", req.Header.Get("Authorization")))
			}
		}
	}
	for name, test := range map[string]struct {
		api    func(net.Conn)
		detail string
	}{
		"closes":         {answers(""), "without an answer"},
		"half a header":  {answers("HTTP/1.1 200 OK\r\nX: TOKEN"), "without an answer"},
		"garbage":        {answers("TOKEN\r\n\r\n"), "broken"},
		"bad version":    {answers("HTTP/TOKEN 200 OK\r\n\r\n"), "broken"},
		"bad status":     {answers("HTTP/1.1 TOKEN OK\r\n\r\n"), "broken"},
		"bad header":     {answers("HTTP/1.1 200 OK\r\nTOKEN\r\n\r\n"), "broken"},
		"bad length":     {answers("HTTP/1.1 200 OK\r\nContent-Length: TOKEN\r\n\r\n"), "broken"},
		"bad encoding":   {answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: TOKEN\r\n\r\n"), "broken"},
		"huge header":    {answers("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n"), "broken"},
		"other protocol": {answers("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: TOKEN\r\n\r\n"), "broken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := beginRaw(t, test.api)
			c := w.dial()
			for _, method := range []string{"GET", "POST", "GET"} { // the app's connection survives
				c.send("%s / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody", method)
				res := c.receive(method)
				problem(t, res, read(t, res), 502, "upstream_unreachable")
			}
			c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			res := c.receive("GET")
			if p := problem(t, res, read(t, res), 502, "upstream_unreachable"); !strings.Contains(p.Detail, test.detail) {
				t.Errorf("detail: got %q", p.Detail)
			}
		})
	}
}

func TestUpstreamHangsUpAtOnce(t *testing.T) {
	t.Parallel()
	w := beginRaw(t, func(net.Conn) {})
	res, body := w.do("GET", "/", nil)
	problem(t, res, body, 502, "upstream_unreachable")
}

func TestUpstreamRefusesConnections(t *testing.T) {
	t.Parallel()
	nowhere := listen(t)
	nowhere.Close()
	w := begin(t, http.NotFoundHandler(), func(w *fixture) {
		w.upstream.Transport = upstream.New(upstream.Config{Timeout: time.Minute, Dial: nowhere.DialContext})
	})
	c := w.dial()
	for range 2 {
		c.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody")
		res := c.receive("POST")
		p := problem(t, res, read(t, res), 502, "upstream_unreachable")
		if !strings.Contains(p.Detail, "refused") {
			t.Errorf("detail: got %q", p.Detail)
		}
	}
	res, _ := w.do("HEAD", "/", nil)
	is(t, "error header for HEAD", res.Header.Get(inbound.ErrorHeader), "upstream_unreachable")
	is(t, "counted as", w.observer.exchanges[0].Status, 502)
}

func TestUpstreamHasNoAddress(t *testing.T) {
	t.Parallel()
	w := begin(t, http.NotFoundHandler(), func(w *fixture) {
		w.upstream.Transport = upstream.New(upstream.Config{Timeout: time.Minute, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "api.test", IsNotFound: true}}
		}})
	})
	res, body := w.do("GET", "/", nil)
	is(t, "detail", problem(t, res, body, 502, "upstream_unreachable").Detail, "lookup api.test: no such host")
}

func TestTLSOfTheUpstream(t *testing.T) {
	t.Parallel()
	secure := func(t *testing.T, change func(*tls.Config)) (*httptest.Server, *x509.CertPool) {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
		s.TLS = new(tls.Config)
		change(s.TLS)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		pool := x509.NewCertPool()
		pool.AddCert(s.Certificate())
		return s, pool
	}
	for name, test := range map[string]struct {
		url    string
		change func(*tls.Config)
		known  bool
		plain  bool
		detail string
	}{
		"trusted":                     {url: "https://example.com", known: true},
		"unknown CA":                  {url: "https://example.com", detail: "unknown authority"},
		"wrong name":                  {url: "https://api.test", known: true, detail: "other names"},
		"old TLS":                     {url: "https://example.com", known: true, change: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, detail: "tls"},
		"client certificate required": {url: "https://example.com", known: true, change: func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }, detail: "tls"},
		"no TLS":                      {url: "https://example.com", plain: true, detail: "does not speak TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, http.NotFoundHandler(), func(w *fixture) {
				w.upstream.URL = parse(w, test.url)
				if test.plain {
					w.upstream.Transport = upstream.New(upstream.Config{Timeout: time.Minute, Dial: w.back.DialContext})
					return
				}
				if test.change == nil {
					test.change = func(*tls.Config) {}
				}
				s, pool := secure(t, test.change)
				if !test.known {
					pool = x509.NewCertPool()
				}
				w.upstream.Transport = upstream.New(upstream.Config{Timeout: time.Minute, Roots: pool, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "tcp", s.Listener.Addr().String())
				}})
			})
			res, body := w.do("GET", "/", nil)
			if test.detail == "" {
				is(t, "answer", body, "ok")
				return
			}
			if p := problem(t, res, body, 502, "upstream_unreachable"); !strings.Contains(p.Detail, test.detail) {
				t.Errorf("detail: got %q", p.Detail)
			}
		})
	}
}

func TestUpstreamIsSlow(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		url    string
		dial   upstream.Dialer
		status int
		code   string
		after  time.Duration
	}{
		"to answer":        {"http://api.test", nil, 504, "upstream_timeout", 7 * time.Second},
		"in the handshake": {"https://api.test", nil, 502, "upstream_unreachable", 10 * time.Second},
		"to accept": {"http://api.test", func(ctx context.Context, network, address string) (net.Conn, error) {
			time.Sleep(3 * time.Second)
			d := net.Dialer{Deadline: time.Now()}
			return d.DialContext(ctx, "tcp", "127.0.0.1:1")
		}, 502, "upstream_unreachable", 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &fixture{TB: t, front: newMemory(), back: newMemory()}
				w.serveConns(func(c net.Conn) { io.Copy(io.Discard, c) })
				w.start(func(w *fixture) {
					w.upstream.URL = parse(w, test.url)
					dial := test.dial
					if dial == nil {
						dial = w.back.DialContext
					}
					w.upstream.Transport = upstream.New(upstream.Config{Timeout: 7 * time.Second, Dial: dial})
				})
				began := time.Now()
				res, body := w.do("POST", "/", strings.NewReader("x"))
				problem(t, res, body, test.status, test.code)
				if took := time.Since(began); took < test.after || took > test.after+time.Second {
					t.Errorf("answered after %v, want %v", took, test.after)
				}
			})
		})
	}
}

func TestNoToken(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err   *proxy.TokenError
		code  string
		retry string
	}{
		"later":   {&proxy.TokenError{Detail: "the issuer asked for a pause", RetryAfter: 1500 * time.Millisecond}, "token_unavailable", "2"},
		"unknown": {&proxy.TokenError{Detail: "the issuer does not answer"}, "token_unavailable", "1"},
		"past":    {&proxy.TokenError{Detail: "the issuer does not answer", RetryAfter: -time.Hour}, "token_unavailable", "1"},
		"login":   {&proxy.TokenError{Detail: "run ticketproxy login park", LoginRequired: true}, "login_required", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the API got a request") }))
			w.source.err = test.err
			c := w.dial()
			for range 2 { // the app's connection survives
				c.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody")
				res := c.receive("POST")
				p := problem(t, res, read(t, res), 503, test.code)
				is(t, "detail", p.Detail, test.err.Detail)
				is(t, "Retry-After", res.Header.Get("Retry-After"), test.retry)
			}
		})
	}
}

func TestUpstreamDiesWithinItsAnswer(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"length":    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
		"chunked":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"bad chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfX\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := beginRaw(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					io.WriteString(c, answer)
				}
			})
			res, err := w.app.Get("http://localhost/")
			if err != nil {
				return // cut before any of it was sent
			}
			defer res.Body.Close()
			if b, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("the answer ended cleanly after %q", b)
			}
		})
	}
}
