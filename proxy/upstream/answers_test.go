package upstream

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// What an answer's bytes mean, and whether the connection serves another request after it.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const h = "HTTP/1.1 200 OK\r\n"
	for name, test := range map[string]struct {
		method, answer, body string
		length               int64
		err                  error
		kept                 int
	}{
		"length":                   {"GET", h + "Content-Length: 2\r\n\r\nok", "ok", 2, nil, 1},
		"no body":                  {"GET", h + "Content-Length: 0\r\n\r\n", "", 0, nil, 1},
		"too long":                 {"GET", h + "Content-Length: 2\r\n\r\nok!", "ok", 2, nil, 0},
		"truncated":                {"GET", h + "Content-Length: 3\r\n\r\nok", "ok", 3, io.ErrUnexpectedEOF, 0},
		"close":                    {"GET", h + "Content-Length: 2\r\nConnection: close\r\n\r\nok", "ok", 2, nil, 0},
		"close among others":       {"GET", h + "Content-Length: 2\r\nConnection: x, Close\r\n\r\nok", "ok", 2, nil, 0},
		"until the end":            {"GET", h + "\r\nok", "ok", -1, nil, 0},
		"until the end, empty":     {"GET", h + "\r\n", "", -1, nil, 0},
		"chunked":                  {"GET", h + "Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n", "ok", -1, nil, 1},
		"chunked, LF":              {"GET", h + "Transfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n", "", -1, errAny, 0},
		"a chunk's size inside":    {"GET", h + "Transfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n", -1, nil, 1},
		"chunked, truncated":       {"GET", h + "Transfer-Encoding: chunked\r\n\r\n3\r\nok", "ok", -1, io.ErrUnexpectedEOF, 0},
		"chunked, no last chunk":   {"GET", h + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", "ok", -1, io.ErrUnexpectedEOF, 0},
		"chunked, no end":          {"GET", h + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", "ok", -1, io.ErrUnexpectedEOF, 0},
		"chunked, too long":        {"GET", h + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n!", "ok", -1, nil, 0},
		"a broken size":            {"GET", h + "Transfer-Encoding: chunked\r\n\r\nx\r\nok", "", -1, errAny, 0},
		"a large size":             {"GET", h + "Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\nok", "", -1, errAny, 0},
		"a chunk's end missing":    {"GET", h + "Transfer-Encoding: chunked\r\n\r\n2\r\nok0\r\n\r\n", "ok", -1, errAny, 0},
		"chunked and length":       {"GET", h + "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok", -1, nil, 1},
		"HEAD":                     {"HEAD", h + "Content-Length: 2\r\n\r\n", "", 2, nil, 1},
		"HEAD without length":      {"HEAD", h + "\r\n", "", -1, nil, 1},
		"HEAD, chunked":            {"HEAD", h + "Transfer-Encoding: chunked\r\n\r\n", "", -1, nil, 1},
		"HEAD with a body":         {"HEAD", h + "Content-Length: 2\r\n\r\nok", "", 2, nil, 0},
		"204":                      {"GET", "HTTP/1.1 204 No Content\r\n\r\n", "", 0, nil, 1},
		"204 with length":          {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "", 0, nil, 1},
		"304":                      {"GET", "HTTP/1.1 304 Not Modified\r\n\r\n", "", 0, nil, 1},
		"304 with length":          {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", "", 0, nil, 1},
		"HTTP/1.0":                 {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", 2, nil, 0},
		"HTTP/1.0, keep-alive":     {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", "ok", 2, nil, 0},
		"LF":                       {"GET", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "ok", 2, nil, 1},
		"no reason":                {"GET", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "ok", 2, nil, 1},
		"a long header":            {"GET", h + "X: " + strings.Repeat("x", 9<<10) + "\r\nContent-Length: 2\r\n\r\nok", "ok", 2, nil, 1},
		"a header of the buffer":   {"GET", h + "X: " + strings.Repeat("x", readBuffer-43) + "\r\nContent-Length: 2\r\n\r\nok", "ok", 2, nil, 1},
		"a header that is endless": {"GET", h + "X: " + strings.Repeat("x", 1<<20), "", 0, errAnswerLong, 0},
		"very many fields":         {"GET", h + strings.Repeat("X: y\r\n", 5000) + "\r\n", "", 0, errAnswerLong, 0},
		"truncated in the header":  {"GET", h + "X", "", 0, io.ErrUnexpectedEOF, 0},
		"truncated at its end":     {"GET", h, "", 0, io.ErrUnexpectedEOF, 0},
		"nothing":                  {"GET", "", "", 0, io.EOF, 0},
		"no HTTP":                  {"GET", "\x15\x03\x01\x00\x02", "", 0, errMalformed, 0},
		"no HTTP, for long":        {"GET", "HTTP/1.1 " + strings.Repeat("x", 8<<10), "", 0, io.ErrUnexpectedEOF, 0},
		"no status":                {"GET", "HTTP/1.1 abc\r\n\r\n", "", 0, errMalformed, 0},
		"a status below 100":       {"GET", "HTTP/1.1 099 X\r\n\r\n", "", 0, errMalformed, 0},
		"an unknown coding":        {"GET", h + "Transfer-Encoding: gzip\r\n\r\n", "", 0, errMalformed, 0},
		"two lengths":              {"GET", h + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!", "", 0, errMalformed, 0},
		"the same length twice":    {"GET", h + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", "ok", 2, nil, 1},
		"a length with a sign":     {"GET", h + "Content-Length: +2\r\n\r\nok", "", 0, errMalformed, 0},
		"a field without a colon":  {"GET", h + "X\r\n\r\n", "", 0, errMalformed, 0},
		"a space before the colon": {"GET", h + "Content-Length : 2\r\n\r\nok", "ok", -1, nil, 0},
		"a folded line":            {"GET", h + "X: a\r\n b\r\nContent-Length: 2\r\n\r\nok", "ok", 2, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overEach(t, func(t *testing.T, a *api) {
				transport := a.transport()
				c := begin(t, transport, a.request(test.method, nil))
				p := a.accept()
				p.request()
				io.WriteString(p.Conn, test.answer)
				if test.kept == 0 || test.err != nil {
					p.Close()
				}
				err := c.end()
				if !errors.Is(err, test.err) && !(test.err == errAny && err != nil) {
					t.Fatalf("error %v, want %v", err, test.err)
				}
				is(t, "the body", c.body, test.body)
				if c.res != nil {
					is(t, "the length", c.res.ContentLength, test.length)
				}
				is(t, "idle connections", len(transport.idle()), test.kept)
			})
		})
	}
}

var errAny = errors.New("any error")

// Reads after the end and after Close have nothing to do with the connection, which serves others.
func TestReadsAfterTheEnd(t *testing.T) {
	t.Parallel()
	a := listen(t)
	transport := a.transport()
	c := make(chan *http.Response, 1)
	go func() {
		res, _ := transport.RoundTrip(a.request("GET", nil))
		c <- res
	}()
	p := a.accept()
	p.serve()
	res := <-c
	io.ReadAll(res.Body)
	second := a.get(transport)
	p.request()
	p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
	for range 2 {
		if n, err := res.Body.Read(make([]byte, 5)); n != 0 || err != io.EOF {
			t.Errorf("got %d bytes, error %v", n, err)
		}
		res.Body.Close()
	}
	p.say("hello")
	second.want("hello")
	is(t, "connections", a.dials.Load(), 1)

	go func() {
		res, _ := transport.RoundTrip(a.request("GET", nil))
		c <- res
	}()
	p.request()
	p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
	res = <-c
	res.Body.Close()
	if n, err := res.Body.Read(make([]byte, 5)); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %d bytes, error %v", n, err)
	}
	is(t, "the rest", p.rest(), "")
	is(t, "idle connections", len(transport.idle()), 0)
}

// A connection that switched protocols is read and written, and each direction ends by itself.
func TestSwitchedProtocols(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, a *api) {
		transport := a.transport()
		c := make(chan *http.Response, 1)
		go func() {
			res, err := transport.RoundTrip(a.request("GET", nil, "Connection", "Upgrade", "Upgrade", "x"))
			if err != nil {
				t.Error(err)
			}
			c <- res
		}()
		p := a.accept()
		p.request()
		p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nfirst")
		res := <-c
		conn := res.Body.(interface {
			io.ReadWriteCloser
			CloseWrite() error
		})
		io.WriteString(conn, "to the upstream")
		if err := conn.CloseWrite(); err != nil {
			t.Error(err)
		}
		is(t, "the upstream got", p.rest(), "to the upstream")
		p.say(", and more")
		p.Close()
		if b, err := io.ReadAll(conn); string(b) != "first, and more" || err != nil {
			t.Errorf("got %q, error %v", b, err)
		}
		conn.Close()
		conn.Close()
		is(t, "idle connections", len(transport.idle()), 0)
	})
}

// An answer that names no protocol switches to none. Nobody can write to its body.
func TestSwitchWithoutName(t *testing.T) {
	t.Parallel()
	for _, fields := range []string{"", "Upgrade: x\r\n", "Connection: Upgrade\r\n", "Connection: Upgrade\r\nUpgrade:\r\n"} {
		a := listen(t)
		transport := a.transport()
		c := a.get(transport)
		p := a.accept()
		p.request()
		p.say("HTTP/1.1 101 Switching Protocols\r\n" + fields + "\r\n")
		c.want("")
		if _, ok := c.res.Body.(io.Writer); ok {
			t.Errorf("after %q, the body can be written", fields)
		}
		is(t, "the rest", p.rest(), "")
	}
}

// An upstream may answer before it reads, also if it reads a long header never.
func TestAnswerBeforeRequest(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, a *api) {
		for _, size := range []int{10, 15 << 10, 1 << 20, 16 << 20} {
			transport := a.transport()
			c := begin(t, transport, a.request("GET", nil, "X", strings.Repeat("y", size)))
			p := a.accept()
			p.say(ok)
			c.want("ok")
		}
	})
}
