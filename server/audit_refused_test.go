package server

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/proxy/inbound"
)

// exchange sends bytes to a listener, and returns the answer.
func (g *gateway) exchange(address, text string) *http.Response {
	g.t.Helper()
	c, err := g.network.dial(g.t.Context(), "tcp", address)
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	go io.WriteString(c, text) // not all of it may be read
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		g.t.Fatalf("%.40q: %v", text, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	res.ContentLength = int64(len(body))
	return res
}

// refusedLine returns what the last line of the audit log tells of a request that no handler
// has seen.
func (g *gateway) refusedLine() string {
	g.t.Helper()
	lines := g.stdout.lines(g.t)
	if len(lines) == 0 {
		return "no line"
	}
	line := lines[len(lines)-1]
	text := ""
	for _, name := range []string{
		"event.action", "event.outcome", "client.address", "http.request.method", "url.path",
		"http.response.status_code", "error.code", "http.response.body.bytes",
	} {
		text += fmt.Sprint(line[name]) + " "
	}
	if line["event.reason"] == nil {
		text += "no reason"
	}
	return strings.TrimSpace(text)
}

// TestAuditOfUnreadableRequests tests that what cannot be read as HTTP has a line.
func TestAuditOfUnreadableRequests(t *testing.T) {
	withGatewayFiles(t, auditFile, func(t *testing.T) (*authority, []string) {
		a := newAuthority(t)
		return a, append(a.server(t), "TICKETPROXY_SHOP_LISTEN="+gatewayTLS, "TICKETPROXY_TOKEN_LISTEN="+gatewayTokens)
	}, func(g *gateway, _ *authority) {
		const host = "\r\nHost: localhost\r\n"
		for name, tt := range map[string]struct {
			address, text string
			want          string // action, method and path, status and code
		}{
			"no HTTP":         {gatewayApps, "hello\r\n\r\n", "request <nil> <nil> 400 bad_request"},
			"two framings":    {gatewayApps, "POST /park/a HTTP/1.1" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "request <nil> <nil> 400 bad_request"},
			"coding":          {gatewayApps, "POST /park/a HTTP/1.1" + host + "Transfer-Encoding: gzip\r\n\r\n", "request <nil> <nil> 501 not_implemented"},
			"version":         {gatewayApps, "GET /park/a HTTP/3.0" + host + "\r\n", "request <nil> <nil> 505 not_implemented"},
			"HTTP/2":          {gatewayApps, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "request PRI * 505 not_implemented"},
			"expectation":     {gatewayApps, "GET /park/a HTTP/1.1" + host + "Expect: x\r\n\r\n", "request <nil> <nil> 417 not_implemented"},
			"long header":     {gatewayApps, "GET /park/a HTTP/1.1" + host + "X: " + strings.Repeat("x", 2<<20), "request <nil> <nil> 431 header_too_large"},
			"many lines":      {gatewayApps, "GET /park/a HTTP/1.1" + host + strings.Repeat("a:\r\n", 60_000), "request <nil> <nil> 431 header_too_large"},
			"in clear":        {gatewayTLS, "GET /shop/a HTTP/1.1" + host + "\r\n", "request <nil> <nil> 400 bad_request"},
			"no HTTP, tokens": {gatewayTokens, "hello\r\n\r\n", "token <nil> <nil> 400 bad_request"},
		} {
			before := len(g.stdout.lines(t))
			res := g.exchange(tt.address, tt.text)
			action, rest, _ := strings.Cut(tt.want, " ")
			client, _, _ := strings.Cut(tt.address, ":")
			want := fmt.Sprintf("%s failure %s %s %d", action, client, rest, res.ContentLength)
			if got := g.refusedLine(); got != want {
				t.Errorf("%s: the line is %q, want %q", name, got, want)
			}
			if n := len(g.stdout.lines(t)) - before; n != 1 {
				t.Errorf("%s: %d lines", name, n)
			}
		}
	})
}

// TestAuditWhileDraining tests that a request which comes while the program ends has a line.
func TestAuditWhileDraining(t *testing.T) {
	withGateway(t, auditFile, []string{"TICKETPROXY_DRAIN_TIMEOUT=20s"}, func(g *gateway) {
		go g.ask("shop", "GET", "/park/slow")
		time.Sleep(time.Millisecond)
		ended := make(chan struct{})
		go func() {
			g.end()
			close(ended)
		}()
		synctest.Wait()
		res := g.exchange(gatewayApps, "GET /park/b%2Fc?x=y HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if code := res.Header.Get(inbound.ErrorHeader); res.StatusCode != 503 || code != "draining" {
			t.Errorf("%d %s", res.StatusCode, code)
		}
		want := fmt.Sprint("request failure 127.0.0.1 GET /park/b%2Fc 503 draining ", res.ContentLength)
		if got := g.refusedLine(); got != want {
			t.Errorf("the line is %q, want %q", got, want)
		}
		<-ended
	})
}

// TestAuditRequiredOfUnreadableRequests tests that what cannot be read as HTTP is answered with
// audit_unavailable where it cannot be recorded.
func TestAuditRequiredOfUnreadableRequests(t *testing.T) {
	withGateway(t, auditFile, []string{"TICKETPROXY_AUDIT_REQUIRED=true"}, func(g *gateway) {
		g.stdout.set(true)
		for i, want := range []string{"bad_request", "audit_unavailable"} { // the line of the first is kept
			if got := g.exchange(gatewayApps, "hello\r\n\r\n").Header.Get(inbound.ErrorHeader); got != want {
				t.Errorf("request %d: %s, want %s", i, got, want)
			}
		}
		g.stdout.set(false)
		g.end()
		if lines := g.stdout.lines(t); len(lines) != 1 {
			t.Errorf("%d lines", len(lines))
		}
	})
}

// TestAuditOfConnectionsWithoutARequest tests that a connection which the app closes before the end of
// a request's header has no line.
func TestAuditOfConnectionsWithoutARequest(t *testing.T) {
	withGatewayFiles(t, auditFile, func(t *testing.T) (*authority, []string) {
		a := newAuthority(t)
		return a, append(a.server(t), "TICKETPROXY_SHOP_LISTEN="+gatewayTLS)
	}, func(g *gateway, _ *authority) {
		for _, text := range []string{"", "G", "\x00", "GET /park/a HTTP/1.1\r\nHost: localho", "GET /park/a HTTP/1.1\r\nHost: localhost\r\n"} {
			for way, address := range map[string]string{"plain": gatewayApps, "TLS": gatewayTLS, "TLS without its end": gatewayTLS} {
				conn, err := g.network.dial(g.t.Context(), "tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				c := conn
				if address == gatewayTLS {
					c = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
				}
				go io.Copy(io.Discard, c)
				if _, err := io.WriteString(c, text); err != nil {
					t.Error(err)
				}
				if way == "TLS" {
					c.Close()
				}
				conn.Close()
				synctest.Wait()
				if lines := g.stdout.lines(t); len(lines) > 0 {
					t.Errorf("%s, %q: %v", way, text, lines)
					return
				}
			}
		}
	})
}

// TestAuditOfFailedHandshakes tests that a connection whose TLS fails has no line.
func TestAuditOfFailedHandshakes(t *testing.T) {
	withGatewayFiles(t, auditFile, func(t *testing.T) (*authority, []string) {
		a := newAuthority(t)
		return a, append(a.server(t), "TICKETPROXY_SHOP_LISTEN="+gatewayTLS)
	}, func(g *gateway, _ *authority) {
		for name, send := range map[string]func(net.Conn){
			"an old version": func(c net.Conn) {
				tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}).Handshake()
			},
			"a refused certificate":    func(c net.Conn) { tls.Client(c, &tls.Config{ServerName: "other"}).Handshake() },
			"the end of the handshake": func(c net.Conn) { io.WriteString(c, "\x16\x03\x01\x00\x50") },
			"a record that is not TLS's": func(c net.Conn) {
				tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake()
				go io.Copy(io.Discard, c)
				io.WriteString(c, "\x17\x03\x03\x00\x20"+strings.Repeat("x", 32))
			},
			"the end of a record": func(c net.Conn) {
				secured := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				secured.Handshake()
				go io.Copy(io.Discard, c)
				io.WriteString(secured, "GET /shop/a HT")
				io.WriteString(c, "\x17\x03\x03\x00\x50")
			},
		} {
			c, err := g.network.dial(g.t.Context(), "tcp", gatewayTLS)
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(time.Second)) // both ends of a pipe may write
			send(c)
			c.Close()
			synctest.Wait()
			if lines := g.stdout.lines(t); len(lines) > 0 {
				t.Errorf("%s: %v", name, lines)
				g.stdout.Reset()
			}
		}
	})
}
