//go:build !race && !mutation

// The race detector has a sync.Pool lose some of what is put into it, so that more is allocated.

package server

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/process"
)

// TestRequestAllocates bounds the allocations of a request on its whole way: the server, the
// handler, the transport, and back. The app and the API are raw connections with fixed bytes
// that allocate nothing, so all that is counted is the program's.
//
// A limit is the figure that was measured. Whoever lowers the figure lowers the limit.
func TestRequestAllocates(t *testing.T) {
	const fields = " /events/?page=0 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: app/1.0\r\nAccept: application/json\r\n" +
		"Accept-Encoding: gzip, deflate\r\n"
	body := strings.Repeat("y", 1<<10)
	for _, test := range []struct {
		name, request string
		end           string // of the request
		most          float64
	}{
		{"GET", "GET" + fields + "\r\n", "\r\n\r\n", 49},
		{"POST", "POST" + fields + "Content-Type: application/json\r\nContent-Length: 1024\r\n\r\n" + body, body, 57},
	} {
		t.Run(test.name, func(t *testing.T) {
			answerEnd := strings.Repeat("x", 1<<10)
			api := listenRaw(t, test.end, "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: api\r\n"+
				"Content-Type: application/json\r\nContent-Length: 1024\r\n\r\n"+answerEnd)
			app, err := net.Dial("tcp", serveOne(t, api))
			if err != nil {
				t.Fatal(err)
			}
			defer app.Close()
			request, end, buffer := []byte(test.request), []byte(answerEnd), make([]byte, 8<<10)
			exchange := func() {
				if _, err := app.Write(request); err != nil {
					t.Fatal(err)
				}
				if got, err := readUntil(app, buffer, end); err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 200 OK\r\n")) {
					t.Fatalf("got %q: %v", got, err)
				}
			}
			for range 100 { // has the connection to the API made, and the pools filled
				exchange()
			}
			if got := testing.AllocsPerRun(2000, exchange); got > test.most {
				t.Errorf("%v allocations, want at most %v", got, test.most)
			}
		})
	}
}

// serveOne runs a Server of one upstream, and returns the address that it listens on.
func serveOne(t *testing.T, api string) string {
	t.Helper()
	issuer := httptest.NewServer(http.HandlerFunc(answerIssuer))
	t.Cleanup(issuer.Close)
	c, err := config.Parse(config.Environment{Vars: []string{
		"TICKETPROXY_STATE=memory:", "TICKETPROXY_LISTEN=127.0.0.1:0", "TICKETPROXY_ADMIN_LISTEN=off",
		"TICKETPROXY_PROVIDER=generic", "TICKETPROXY_CLIENT_ID=x", "TICKETPROXY_CLIENT_SECRET=y",
		"TICKETPROXY_GRANT=client_credentials", "TICKETPROXY_TOKEN_URL=" + issuer.URL, "TICKETPROXY_UPSTREAM_URL=http://" + api,
	}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(c, Options{Log: zap.NewNop(), Limits: process.Limits{Files: 1000, Memory: math.MaxInt64}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func(apps []net.Addr) { ready <- apps[0] }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for _, tr := range s.apps[0].transports {
			tr.CloseIdleConnections()
		}
	})
	select {
	case address := <-ready:
		return address.String()
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
		return ""
	}
}

// listenRaw serves an API of one connection, which sends the answer whenever it has got the end of
// a request. It returns the address.
func listenRaw(t *testing.T, end, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- answerRaw(l, []byte(end), []byte(answer)) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func answerRaw(l net.Listener, end, answer []byte) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	for buffer := make([]byte, 8<<10); ; {
		got, err := readUntil(c, buffer, end)
		if err != nil && len(got) == 0 {
			return nil // it is no longer needed
		}
		if err != nil || !bytes.Contains(got, []byte("\r\nAuthorization: Bearer access-token\r\n")) {
			return fmt.Errorf("the API got %q: %v", got, err)
		}
		if _, err := c.Write(answer); err != nil {
			return err
		}
	}
}

// readUntil reads what ends in end.
func readUntil(c net.Conn, buffer, end []byte) ([]byte, error) {
	for n := 0; ; {
		m, err := c.Read(buffer[n:])
		if n += m; err != nil || bytes.HasSuffix(buffer[:n], end) {
			return buffer[:n], err
		}
	}
}
