package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestNothingIsSentTwice checks that a request is not sent again when the upstream reads
// it on a reused connection and closes that: it may have processed the request.
func TestNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "DELETE", "PURGE"} {
		for _, header := range []string{"", "Idempotency-Key: 1\r\n", "X-Idempotency-Key: 1\r\n", "Expect: 100-continue\r\n"} {
			t.Run(method+" "+header, func(t *testing.T) {
				t.Parallel()
				var seen atomic.Int32
				w := beginRaw(t, func(c net.Conn) {
					r := bufio.NewReader(c)
					for {
						req, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						if req.URL.Path == "/reserve" {
							seen.Add(1)
							return // without an answer
						}
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				})
				if res, _ := w.ask("GET /warm HTTP/1.1\r\nHost: localhost\r\n\r\n"); res.StatusCode != 200 {
					t.Fatalf("warming up: %d", res.StatusCode)
				}
				res, _ := w.ask(method + " /reserve HTTP/1.1\r\nHost: localhost\r\n" + header + "\r\n")
				is(t, "status", res.StatusCode, 502)
				is(t, "requests seen", seen.Load(), 1)
			})
		}
	}
}

// TestUnrepeatableLeavesNoTrace checks that nothing in a request shows that it cannot be
// sent twice.
func TestUnrepeatableLeavesNoTrace(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "DELETE", "PROPFIND"} {
		seen := make(chan string, 1)
		w := beginRaw(t, func(c net.Conn) {
			var head strings.Builder
			for r := bufio.NewReader(c); ; {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if head.WriteString(line); line == "\r\n" {
					break
				}
			}
			seen <- head.String()
			io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		})
		w.ask(method + " /x HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a\r\nIdempotency-Key: 1\r\n\r\n")
		is(t, method, <-seen, fmt.Sprintf("%s /x HTTP/1.1\r\nHost: api.test\r\nUser-Agent: a\r\nAuthorization: %s\r\nIdempotency-Key: 1\r\n\r\n", method, bearer(1)))
	}
}

// TestContinueIsSentOnce checks that the app gets one 100: the server sends it when the
// body is read, and the upstream's own adds none.
func TestContinueIsSentOnce(t *testing.T) {
	t.Parallel()
	w := beginRaw(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		if req, err := http.ReadRequest(r); err == nil {
			io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
			io.Copy(io.Discard, req.Body)
			io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	first := c.receive("POST")
	is(t, "first", first.StatusCode, 100)
	c.send("hello")
	is(t, "second", c.receive("POST").StatusCode, 204)
}

// A failingTransport fails before it asks for a connection.
type failingTransport struct{ calls int }

func (h *failingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if h.calls++; h.calls > 100 {
		panic("too many attempts")
	}
	return nil, errors.New("net/http: invalid header field value")
}

func TestFailingTransportIsGivenUp(t *testing.T) {
	t.Parallel()
	w := begin(t, http.NotFoundHandler(), func(w *fixture) { w.upstream.Transport = new(failingTransport) })
	for _, request := range []string{"GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nContent-Length: 0\r\n"} {
		res, _ := w.ask(request + "Host: localhost\r\n\r\n")
		is(t, request, res.StatusCode, 502)
	}
}
