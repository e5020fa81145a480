package issuer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/issuer"
)

// after reads the request, and then answers.
func after(answer func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := readRequest(conn); err == nil {
			answer(conn)
		}
	}
}

// saying answers with text and closes.
func saying(text string) func(net.Conn) {
	return after(func(conn net.Conn) { io.WriteString(conn, text) })
}

// endlessly answers with first, and then with more until the client closes.
func endlessly(first, more string) func(net.Conn) {
	return after(func(conn net.Conn) {
		_, err := io.WriteString(conn, first)
		for err == nil {
			_, err = io.WriteString(conn, more)
		}
	})
}

// reset has the connection closed with a RST.
func reset(conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) }

const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

// TestHostileIssuer checks that, whatever the issuer does, the request is made once and
// soon over, and that its error has the right class and no secrets.
func TestHostileIssuer(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	zip.Write(make([]byte, 1<<20))
	zip.Close()
	for _, tt := range []struct {
		name   string
		handle func(net.Conn)
		class  tokens.Class
		status int
	}{
		{"drop after the request", after(func(net.Conn) {}), tokens.Ambiguous, 0},
		{"reset after the request", after(reset), tokens.Ambiguous, 0},
		{"reset amid the body", after(func(conn net.Conn) {
			io.WriteString(conn, ok+"Content-Length: 99\r\n\r\n{\"access_token\":")
			reset(conn)
		}), tokens.Ambiguous, 200},
		{"half a header", saying("HTTP/1.1 200 OK\r\nContent-Ty"), tokens.Ambiguous, 0},
		{"half a body", saying(ok + "Content-Length: 99\r\n\r\n{\"access_token\":\"a\""), tokens.Ambiguous, 200},
		{"half a chunk", saying(ok + "Transfer-Encoding: chunked\r\n\r\n20\r\n{\"access_token\":\"a\""), tokens.Ambiguous, 200},
		{"half an error", saying("HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\n{\"error\":"), tokens.Ambiguous, 400},
		{"not HTTP", saying(refreshToken + "\r\n\r\n"), tokens.Ambiguous, 0},
		{"not HTTP, in part", saying(refreshToken[:15] + "\r\n\r\n"), tokens.Ambiguous, 0},
		{"not HTTP, long", saying(strings.Repeat(refreshToken, 99)), tokens.Ambiguous, 0},
		{"token as version", saying("HTTP/" + refreshToken + " 200 OK\r\n\r\n"), tokens.Ambiguous, 0},
		{"token as status", saying("HTTP/1.1 " + refreshToken + "\r\n\r\n"), tokens.Ambiguous, 0},
		{"token as reason", saying("HTTP/1.1 400 " + refreshToken + "\r\nContent-Length: 0\r\n\r\n"), tokens.Refused, 400},
		{"token as header line", saying(ok + refreshToken + "\r\n\r\n"), tokens.Ambiguous, 0},
		{"token as length", saying(ok + "Content-Length: " + refreshToken + "\r\n\r\n"), tokens.Ambiguous, 0},
		{"token as coding", saying(ok + "Transfer-Encoding: " + refreshToken + "\r\n\r\n"), tokens.Ambiguous, 0},
		{"token as chunk", saying(ok + "Transfer-Encoding: chunked\r\n\r\n" + refreshToken + "\r\n"), tokens.Ambiguous, 200},
		{"token as code", saying("HTTP/1.1 400 Bad Request\r\nContent-Length: 44\r\n\r\n{\"error\": \"" + refreshToken + "\"}"), tokens.Refused, 400},
		{"token as body", saying(ok + "\r\n" + refreshToken), tokens.Ambiguous, 200},
		{"switching protocols", saying("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), tokens.Ambiguous, 101},
		{"gzip bomb", saying(ok + "Content-Encoding: gzip\r\n\r\n" + bomb.String()), tokens.Ambiguous, 200},
		{"endless interim answers", endlessly("", "HTTP/1.1 102 Processing\r\nX: "+refreshToken+"\r\n\r\n"), tokens.Ambiguous, 0},
		{"endless header", endlessly(ok, "X: "+refreshToken+"\r\n"), tokens.Ambiguous, 0},
		{"endless header line", endlessly(ok+"X: ", refreshToken), tokens.Ambiguous, 0},
		{"endless body", endlessly(ok+"\r\n", refreshToken), tokens.Ambiguous, 200},
		{"endless chunks", endlessly(ok+"Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("1\r\n \r\n", 999)), tokens.Ambiguous, 200},
		{"endless redirect", endlessly("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "x"), tokens.Refused, 302},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addr, connections := listen(t, tt.handle)
			c := client(lookup(t, "generic"), "http://"+addr)
			began := time.Now()
			_, err := byRefresh(c)
			if took := time.Since(began); took >= 10*time.Second {
				t.Errorf("took %v", took)
			}
			if e := failure(t, err); e.Class != tt.class || e.Status != tt.status {
				t.Errorf("got %v %d, want %v %d (%v)", e.Class, e.Status, tt.class, tt.status, err)
			}
			if n := connections(); n != 1 {
				t.Errorf("issuer saw %d connections, want 1", n)
			}
		})
	}
}

// TestCloseOnAccept checks that the request is made once. Either class is right, because
// it is chance whether the request is written before the connection ends.
func TestCloseOnAccept(t *testing.T) {
	t.Parallel()
	addr, connections := listen(t, func(net.Conn) {})
	_, err := byRefresh(client(lookup(t, "generic"), "http://"+addr))
	if e := failure(t, err); e.Class != tokens.Ambiguous && e.Class != tokens.NotSent {
		t.Errorf("class is %v", e.Class)
	}
	if n := connections(); n != 1 {
		t.Errorf("issuer saw %d connections, want 1", n)
	}
}

// TestWholeObjectCutShort checks that the new refresh token of a cut answer is kept.
func TestWholeObjectCutShort(t *testing.T) {
	t.Parallel()
	addr, _ := listen(t, saying(ok+"Content-Length: 99\r\n\r\n{\"access_token\":\"a\",\"refresh_token\":\"r\"}\n"))
	g, err := byRefresh(client(lookup(t, "generic"), "http://"+addr))
	if err != nil || g.RefreshToken.Reveal() != "r" {
		t.Errorf("got %q, %v", g.RefreshToken.Reveal(), err)
	}
}

// TestEarlyAnswer checks an issuer that refuses before it has read the request.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	addr, connections := listen(t, func(conn net.Conn) {
		conn.Read(make([]byte, 1))
		io.WriteString(conn, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n")
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, conn)
	})
	_, err := byRefresh(client(lookup(t, "generic"), "http://"+addr))
	if e := failure(t, err); e.Class != tokens.Throttled || e.RetryAfter != 9*time.Second {
		t.Errorf("got %v", err)
	}
	if n := connections(); n != 1 {
		t.Errorf("issuer saw %d connections, want 1", n)
	}
}

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	_, err = byRefresh(client(lookup(t, "generic"), "http://"+ln.Addr().String()))
	if e := failure(t, err); e.Class != tokens.NotSent || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v: %v", e.Class, err)
	}
	if want := "connecting to " + ln.Addr().String() + ": connection refused"; err.Error() != want {
		t.Errorf("error is %q, want %q", err, want)
	}
}

func TestTLSToPlainServer(t *testing.T) {
	t.Parallel()
	addr, connections := listen(t, func(conn net.Conn) {
		conn.Read(make([]byte, 1024))
		io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
	})
	_, err := byRefresh(client(lookup(t, "generic"), "https://"+addr))
	if e := failure(t, err); e.Class != tokens.NotSent || err.Error() != "issuer does not speak TLS" {
		t.Errorf("got %v: %v", e.Class, err)
	}
	if n := connections(); n != 1 {
		t.Errorf("issuer saw %d connections, want 1", n)
	}
}

// TestTLS checks that nothing is sent to a server that is not proven to be the issuer.
func TestTLS(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	start := func(config *tls.Config) *httptest.Server {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			io.WriteString(w, `{"access_token":"a"}`)
		}))
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.TLS = config
		srv.EnableHTTP2 = true
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return srv
	}
	srv := start(nil)
	old := start(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())

	for _, tt := range []struct {
		name, url string
		roots     *x509.CertPool
		text      string
	}{
		{"wrong CA", srv.URL, x509.NewCertPool(), "certificate signed by unknown authority"},
		{"wrong name", strings.Replace(srv.URL, "127.0.0.1", "localhost", 1), roots, "not localhost"},
		{"TLS 1.1", old.URL, roots, "protocol version"},
	} {
		c := config(lookup(t, "generic"), tt.url)
		c.Transport = issuer.Transport(tt.roots, nil, nil)
		_, err := byRefresh(issuer.New(c))
		if e := failure(t, err); e.Class != tokens.NotSent || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v: %v", tt.name, e.Class, err)
		}
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	c := config(lookup(t, "generic"), srv.URL)
	c.Transport = issuer.Transport(roots, nil, nil)
	if g, err := byRefresh(issuer.New(c)); err != nil || g.AccessToken.Reveal() != "a" {
		t.Errorf("the right CA: %v", err)
	}
}

// TestCancelledWhileWaiting checks that a sent request is Ambiguous when its caller leaves.
func TestCancelledWhileWaiting(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	addr, connections := listen(t, after(func(conn net.Conn) {
		cancel()
		conn.Read(make([]byte, 1)) // until the client has closed
	}))
	_, err := client(lookup(t, "generic"), "http://"+addr).Refresh(ctx, secret.New(refreshToken))
	if e := failure(t, err); e.Class != tokens.Ambiguous || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v: %v", e.Class, err)
	}
	if n := connections(); n != 1 {
		t.Errorf("issuer saw %d connections, want 1", n)
	}
}

// TestTextOfACertificateError checks that this text is shown only if it is short, has one
// line, and holds nothing of the request.
func TestTextOfACertificateError(t *testing.T) {
	t.Parallel()
	const plain = "x509: certificate has expired"
	for text, want := range map[string]string{
		plain:                            plain,
		"valid for " + refreshToken:      "certificate of the issuer is not trusted",
		"valid for\nanother":             "certificate of the issuer is not trusted",
		strings.Repeat("valid for ", 99): "certificate of the issuer is not trusted",
	} {
		_, err := refresh(t, lookup(t, "generic"), fakeIssuer(func(*http.Request) (*http.Response, error) {
			return nil, &tls.CertificateVerificationError{Err: errors.New(text)}
		}))
		if e := failure(t, err); e.Class != tokens.NotSent || err.Error() != want {
			t.Errorf("%.40q became %v %q, want %q", text, e.Class, err, want)
		}
	}
}
