package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
)

// answeringOnce is an API that answers each connection's first request with text,
// and closes the connection.
func answeringOnce(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.WriteString(c, text)
		}
	}
}

// TestTruncatedAnswerIsPassedOn checks that an app gets the part that came. An app that
// gets nothing would assume that the request was not processed, and repeat it.
func TestTruncatedAnswerIsPassedOn(t *testing.T) {
	t.Parallel()
	for _, sent := range []int{0, 5, 2000, 5000, 60000} {
		w := beginRaw(t, answeringOnce(fmt.Sprintf("HTTP/1.1 201 Created\r\nX-Order: 4711\r\nContent-Length: 100000\r\n\r\n%s", strings.Repeat("x", sent))))
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
		res := c.receive("POST")
		is(t, "status", res.StatusCode, 201)
		is(t, "header", res.Header.Get("X-Order"), "4711")
		body, err := io.ReadAll(res.Body)
		is(t, "length", len(body), sent)
		is(t, "error", err, io.ErrUnexpectedEOF)
	}
}

func TestInvalidStatus(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"000", "099"} {
		w := beginRaw(t, answeringOnce("HTTP/1.1 "+status+" x\r\nContent-Length: 0\r\n\r\n"))
		res, _ := w.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		is(t, "status", res.StatusCode, 502)
		is(t, "code", res.Header.Get(inbound.ErrorHeader), "upstream_unreachable")
	}
}

func TestForbiddenTrailersAreDropped(t *testing.T) {
	t.Parallel()
	w := beginRaw(t, answeringOnce("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n"+
		"Set-Cookie: a=1\r\nTicketproxy-Error: login_required\r\nAccess-Control-Allow-Origin: *\r\nConnection: x\r\n\r\n"))
	res, _ := w.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	is(t, "trailers", fmt.Sprint(res.Trailer), "map[X-Sum:[1]]")
}

// The Trailer field names only trailers that the app gets.
func TestDroppedTrailersAreNotAnnounced(t *testing.T) {
	t.Parallel()
	answer := "Trailer: X-Sum, Set-Cookie, Ticketproxy-Error, Ticketproxy_Error, Access-Control-Allow-Origin, Connection, " + token(1) + "\r\n"
	w := beginRaw(t, answeringOnce("HTTP/1.1 103 Early Hints\r\n"+answer+"\r\n"+
		"HTTP/1.1 200 OK\r\n"+answer+"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=1\r\n"+token(1)+": 1\r\n\r\n"))
	raw := w.raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	is(t, "announcements", fmt.Sprint(regexp.MustCompile("(?m)^Trailer:.*\r$").FindAllString(raw, -1)), "[Trailer: X-Sum\r]")
	_, trailers, _ := strings.Cut(raw, "\r\n0\r\n")
	is(t, "trailers", trailers, "X-Sum: 1\r\n\r\n")

	raw = w.raw("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n") // which has no trailers
	is(t, "announcement of none", strings.Contains(raw, "Trailer"), false)
}

// An API cannot send Ticketproxy-Error in any spelling.
func TestErrorHeaderOfAnAPIIsDropped(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Ticketproxy-Error", "TICKETPROXY-ERROR", "ticketproxy_error", "Ticketproxy_Error"} {
		w := beginRaw(t, answeringOnce("HTTP/1.1 103 Early Hints\r\n"+name+": draining\r\n\r\n"+
			"HTTP/1.1 200 OK\r\n"+name+": draining\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"+name+": draining\r\n\r\n"))
		raw := w.raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		is(t, name, strings.Contains(raw, "draining"), false)
	}
}

// TestPagesReadOurOwnAnswers checks that a page of an allowed origin may read our own
// answers.
func TestPagesReadOurOwnAnswers(t *testing.T) {
	t.Parallel()
	const page = "http://good.example"
	w := beginRaw(t, answeringOnce("garbage"), func(w *fixture) {
		w.guard.Origins = []string{page}
		w.upstream.Prefix, w.upstream.URL = "/park", parse(t, "http://api.test/v3")
		w.upstream.Stub = &proxy.StubTokenEndpoint{Paths: []string{"/v3/token"}, Body: []byte("{}")}
	})
	for request, status := range map[string]int{"GET /elsewhere": 404, "GET /park/x": 502, "GET /park/../x": 400, "GET /park/..#/x": 400, "POST /park/token": 200} {
		res, _ := w.ask(request + " HTTP/1.1\r\nHost: localhost\r\nOrigin: " + page + "\r\nContent-Length: 0\r\n\r\n")
		is(t, request, res.StatusCode, status)
		is(t, request, strings.Join(res.Header["Access-Control-Allow-Origin"], ", "), page)
	}
}
