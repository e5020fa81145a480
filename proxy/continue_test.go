package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

const expecting = "POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"

// answeringEarly is an API that answers each request's header, and reads no body.
func answeringEarly(answer string) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			io.WriteString(c, answer)
		}
	}
}

// TestBodyThatIsRefusedIsNotAskedFor checks that the app is not asked for a body that the
// API refused, though net/http would send the body to keep the API's connection.
func TestBodyThatIsRefusedIsNotAskedFor(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"without a body": "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n",
		"with a body":    "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 3\r\n\r\nno\n",
		"that streams":   "HTTP/1.1 417 Expectation Failed\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno\n\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := beginRaw(t, answeringEarly(answer))
			for range 20 { // one in six failed
				res, _ := w.ask(expecting)
				is(t, "status", res.StatusCode, 417)
				is(t, "connection is closed", res.Close, true)
			}
		})
	}
}

// TestBodyThatIsRefusedTwiceIsNotAskedFor checks the same where another token is tried.
func TestBodyThatIsRefusedTwiceIsNotAskedFor(t *testing.T) {
	t.Parallel()
	w := beginRaw(t, answeringEarly("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"))
	for range 10 {
		res, _ := w.ask(expecting)
		is(t, "status", res.StatusCode, 401)
	}
}

// An API that ignores Expect waits for the body.
func TestBodyIsAskedForWhenTheUpstreamIsSilent(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]string{"nothing": "", "early hints": "HTTP/1.1 103 Early Hints\r\n\r\n", "processing": "HTTP/1.1 102 Processing\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := beginRaw(t, func(c net.Conn) {
				r := bufio.NewReader(c)
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				io.WriteString(c, first)
				b, _ := io.ReadAll(req.Body)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"+string(b))
			})
			c := w.dial()
			c.send(expecting)
			res := c.receive("POST")
			for res.StatusCode == 102 || res.StatusCode == 103 {
				res = c.receive("POST")
			}
			is(t, "first", res.StatusCode, 100)
			c.send("body")
			res = c.receive("POST")
			is(t, "status", res.StatusCode, 200)
			is(t, "answer", read(t, res), "body")
		})
	}
}

// An API that ignores Expect may answer while the body comes.
func TestBodyThatWasAskedForGoesOn(t *testing.T) {
	t.Parallel()
	w := beginRaw(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		one := make([]byte, 1)
		for i := range 4 {
			io.ReadFull(req.Body, one)
			if i == 0 {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
			}
			c.Write(one)
		}
	})
	c := w.dial()
	c.send(expecting)
	is(t, "first", c.receive("POST").StatusCode, 100)
	c.send("b")
	res := c.receive("POST")
	is(t, "status", res.StatusCode, 200)
	one := make([]byte, 1)
	for _, next := range []string{"o", "d", "y", ""} { // each is sent when the one before has come back
		io.ReadFull(res.Body, one)
		c.send("%s", next)
	}
	is(t, "last", string(one), "y")
}

// The server does not wait for a body that it did not ask for.
func TestConnectionOfARefusedExpectationIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := beginVirtual(t, http.NotFoundHandler())
		c := w.dial()
		go c.Write([]byte("POST / HTTP/1.1\r\nHost: evil.example\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"))
		began := time.Now()
		res := c.receive("POST")
		is(t, "status", res.StatusCode, 421)
		read(t, res)
		c.r.ReadByte()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the connection was closed after %v", took)
		}
		w.server.Drain(t.Context())
	})
}
