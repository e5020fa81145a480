package proxy_test

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestUnreadableRequests checks that our own problem replaces net/http's refusal of a
// request, and that an upstream's answer of the same form goes through.
func TestUnreadableRequests(t *testing.T) {
	t.Parallel()
	const copycat = "/copycat"
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Connection", "close")
		w.WriteHeader(400)
		w.Write([]byte("400 Bad Request"))
	}))
	for name, tt := range map[string]struct {
		request string
		status  int
		code    string
		detail  string
	}{
		"no HTTP":           {"hello\r\n\r\n", 400, "bad_request", "its first line"},
		"no Host":           {"GET / HTTP/1.1\r\n\r\n", 400, "bad_request", "missing required Host header"},
		"two Hosts":         {"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400, "bad_request", "or the Host is not"},
		"coding":            {"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "not_implemented", "Unsupported transfer encoding"},
		"version":           {"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 505, "not_implemented", "unsupported protocol version"},
		"two framings":      {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request", "both Content-Length and Transfer-Encoding"},
		"header too large":  {"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 2<<20), 431, "header_too_large", "longer than 1 MiB"},
		"upstream says 400": {"GET " + copycat + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "", "400 Bad Request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := w.dial()
			go c.Write([]byte(tt.request)) // it may not all be read
			res := c.receive("GET")
			body := read(t, res)
			is(t, "status", res.StatusCode, tt.status)
			is(t, "code", res.Header.Get("Ticketproxy-Error"), tt.code)
			kind := "application/problem+json"
			if tt.code == "" {
				kind = "text/plain; charset=utf-8"
			}
			is(t, "type", res.Header.Get("Content-Type"), kind)
			if !strings.Contains(body, tt.detail) {
				t.Errorf("body %q, want %q", body, tt.detail)
			}
		})
	}
}

// TestRequestThatEndsInItsHeader checks that a connection which the app closes before the end of a
// request's header gets no answer, and that one with more than a header does.
func TestRequestThatEndsInItsHeader(t *testing.T) {
	t.Parallel()
	w := begin(t, http.NotFoundHandler())
	for text, want := range map[string]string{
		"G":                                     "",
		"hello":                                 "",
		"GET / HTTP/1.1\r\nHost: localhost":     "",
		"GET / HTTP/1.1\r\nHost: localhost\r\n": "",
		"hello\r\n\r\n":                         "HTTP/1.1 400 Bad Request\r\n",
		"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n": "HTTP/1.1 400 Bad Request\r\n",
	} {
		c := w.dial()
		c.send("%s", text)
		c.Conn.(*net.TCPConn).CloseWrite()
		answer, err := io.ReadAll(c.r)
		if err != nil || want == "" && len(answer) > 0 || !strings.HasPrefix(string(answer), want) {
			t.Errorf("%q: %.40q, %v, want %q", text, answer, err, want)
		}
	}
}

// TestBodyThatLooksLikeARefusal checks that a body like net/http's refusal goes through.
func TestBodyThatLooksLikeARefusal(t *testing.T) {
	t.Parallel()
	const text = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
	next := make(chan bool)
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		w.(http.Flusher).Flush()
		<-next
		w.Write([]byte(text))
	}))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	res := c.receive("GET")
	next <- true // its body is written by itself
	is(t, "body", read(t, res), text)
	c.send("hello\r\n\r\n")
	is(t, "refusal of the next", c.receive("GET").Header.Get("Ticketproxy-Error"), "bad_request")
}
