package upstream

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever the parts in which an answer comes, it is the same.
func TestAnswerInParts(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\nhello",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nT: x\r\n\r\n",
		"LF":      "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
		"interim": "HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := pipes(t)
				transport := a.transport()
				for i := range len(answer) {
					c := a.get(transport)
					p := a.latest()
					p.request()
					p.say(answer[:i])
					time.Sleep(time.Second)
					p.say(answer[i:])
					c.want("hello")
					synctest.Wait()
				}
				c := a.get(transport)
				p := a.latest()
				p.request()
				for i := range len(answer) {
					p.say(answer[i : i+1])
				}
				c.want("hello")
				synctest.Wait()
				is(t, "connections", a.dials.Load(), 1)
			})
		})
	}
}

// A part of a chunked body is not kept back until the trailer comes.
func TestChunkBeforeTrailer(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"", "0", "0\r\n", "0\r\n\r", "0\r\nX: y\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			a := pipes(t)
			transport := a.transport()
			type read struct {
				n   int
				err error
			}
			got := make(chan read, 1)
			go func() {
				res, err := transport.RoundTrip(a.request("GET", nil))
				if err != nil {
					t.Error(err)
					return
				}
				n, err := res.Body.Read(make([]byte, 100))
				got <- read{n, err}
				res.Body.Close()
			}()
			p := a.accept()
			p.request()
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + end)
			synctest.Wait()
			select {
			case r := <-got:
				is(t, "bytes", r.n, 5)
				is(t, "the error", r.err, nil)
			default:
				t.Errorf("after %q, the read waits", end)
				p.Close()
			}
		})
	}
}

// Trailers are kept, announced or not. A broken one is an error, and not quoted.
func TestTrailers(t *testing.T) {
	t.Parallel()
	const h = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	for name, test := range map[string]struct {
		answer string
		want   string
		err    error
		kept   int
	}{
		"announced":     {h + "Trailer: T\r\n\r\n2\r\nok\r\n0\r\nT: x\r\n\r\n", "x", nil, 1},
		"not announced": {h + "\r\n2\r\nok\r\n0\r\nt: x\r\n\r\n", "x", nil, 1},
		"not sent":      {h + "Trailer: T\r\n\r\n2\r\nok\r\n0\r\n\r\n", "", nil, 1},
		"broken":        {h + "\r\n2\r\nok\r\n0\r\nsecret\r\n\r\n", "", errTrailer, 0},
		"long":          {h + "\r\n2\r\nok\r\n0\r\nT: " + strings.Repeat("x", readBuffer) + "\r\n\r\n", "", errTrailer, 0},
		"truncated":     {h + "\r\n2\r\nok\r\n0\r\nT: x\r\n", "", io.ErrUnexpectedEOF, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := listen(t)
			transport := a.transport()
			c := a.get(transport)
			p := a.accept()
			p.request()
			p.say(test.answer)
			if test.err != nil {
				p.Close()
			}
			c.fails(test.err)
			is(t, "the body", c.body, "ok")
			is(t, "the trailer", c.res.Trailer.Get("T"), test.want)
			is(t, "idle connections", len(transport.idle()), test.kept)
		})
	}
}
