package upstream

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

var errBroken = errors.New("the app's body broke off")

// write is what the upstream gets from one write.
func (p *peer) write() string {
	p.Helper()
	b := make([]byte, 256<<10)
	n, err := p.Conn.Read(b)
	if err != nil {
		p.Fatal(err)
	}
	return string(b[:n])
}

// A request whose body is in memory is one write; another body follows the header as it is read.
func TestWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		transport := a.transport()
		header := "POST /path HTTP/1.1\r\nHost: api.test\r\nContent-Length: 4\r\n\r\n"
		var p *peer
		for range 2 { // on a new connection, and on one that was kept
			req := a.request("POST", &whole{strings.NewReader("body")})
			req.ContentLength = 4
			c := begin(t, transport, req)
			if p == nil {
				p = a.accept()
			}
			is(t, "the first write", p.write(), header+"body")
			p.say(ok)
			c.want("ok")
			synctest.Wait()
		}
		r, w := io.Pipe()
		req := a.request("POST", r)
		req.ContentLength = 4
		c := begin(t, transport, req)
		is(t, "the first write", p.write(), header)
		for _, part := range []string{"bo", "dy"} {
			io.WriteString(w, part)
			is(t, "a part", p.write(), part)
		}
		p.say(ok)
		synctest.Wait()
		select {
		case <-c.done:
		default:
			t.Error("the answer's end waits for the end of the request's body")
		}
		w.Close()
		c.want("ok")
	})
}

func TestChunkedRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		transport := a.transport()
		for _, length := range []int{0, 1, 4 << 10, joinLimit - 100, joinLimit, 100_000} {
			text := strings.Repeat("0123456789", length/10+1)[:length]
			for _, source := range []io.Reader{
				io.MultiReader(strings.NewReader(text)),
				&whole{strings.NewReader(text)},
				&whole{iotest.OneByteReader(strings.NewReader(text))},
				&whole{iotest.DataErrReader(strings.NewReader(text))},
			} {
				c := begin(t, transport, a.request("POST", source))
				p := a.latest()
				got, body := p.request()
				if len(got.TransferEncoding) != 1 || body != text {
					t.Errorf("%T: got %v and %d bytes, want %d", source, got.TransferEncoding, len(body), length)
				}
				p.say(ok)
				c.want("ok")
				synctest.Wait() // the goroutine that sends gives the connection back
			}
		}
		is(t, "connections", a.dials.Load(), 1)
	})
}

// A chunked body that is in memory is one write with the header; of a longer one, its beginning is.
func TestChunkedWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		transport := a.transport()
		const header = "POST /path HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n"
		for text, want := range map[string]string{
			"":     header + "0\r\n\r\n",
			"body": header + "4\r\nbody\r\n0\r\n\r\n",
		} {
			c := begin(t, transport, a.request("POST", &whole{strings.NewReader(text)}))
			p := a.latest()
			is(t, "the first write", p.write(), want)
			p.say(ok)
			c.want("ok")
			synctest.Wait()
		}
		c := begin(t, transport, a.request("POST", &whole{strings.NewReader(strings.Repeat("x", joinLimit))}))
		p := a.latest()
		first := p.write()
		if !strings.HasPrefix(first, header+"3f") || len(first) > joinLimit || len(first) < joinLimit-chunkRoom {
			t.Errorf("the first write has %d bytes: %.100q", len(first), first)
		}
		is(t, "the last write", p.write()+p.write(), "54\r\n"+strings.Repeat("x", 0x54)+"\r\n0\r\n\r\n")
		p.say(ok)
		c.want("ok")
	})
}

// A chunked body that breaks off is never sent as if it were whole.
func TestChunkedBodyBreaksOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, broken := range []error{errBroken, io.ErrUnexpectedEOF} {
			a := pipes(t)
			transport := a.transport()
			source := &body{Reader: io.MultiReader(strings.NewReader("bo"), iotest.ErrReader(broken))}
			c := begin(t, transport, a.request("POST", &wholeBody{source}))
			if err := c.end(); !errors.Is(err, broken) {
				t.Errorf("got %v", err)
			}
			is(t, "the body was closed", source.closed.Load() > 0, true)
			is(t, "connections", a.dials.Load(), 0)
		}
	})
}

// A body that is not as long as its Content-Length fails the request, and closes the connection.
func TestWrongLength(t *testing.T) {
	t.Parallel()
	for name, join := range map[string]bool{"whole": true, "stream": false} {
		for text, want := range map[string]string{"bod": "ended 1 bytes early", "body!": "longer than its Content-Length"} {
			t.Run(name+" "+text, func(t *testing.T) {
				t.Parallel()
				a := listen(t)
				transport := a.transport()
				source := &body{Reader: strings.NewReader(text)}
				req := a.request("POST", source)
				if join {
					req.Body = &wholeBody{source}
				}
				req.ContentLength = 4
				c := begin(t, transport, req)
				if err := c.end(); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v", err)
				}
				is(t, "the body was closed", source.closed.Load() > 0, true)
				if !join {
					if sent := a.accept().rest(); !strings.HasSuffix(sent, "\r\n\r\n"+text[:min(len(text), 4)]) {
						t.Errorf("the upstream got %q", sent)
					}
				}
				is(t, "idle connections", len(transport.idle()), 0)
			})
		}
	}
}

// A length that no body has is no reason to take memory for it.
func TestVeryLongLength(t *testing.T) {
	t.Parallel()
	a := listen(t)
	transport := a.transport()
	req := a.request("POST", &whole{strings.NewReader("body")})
	req.ContentLength = math.MaxInt64
	if err := begin(t, transport, req).end(); err == nil || !strings.Contains(err.Error(), "bytes early") {
		t.Errorf("got %v", err)
	}
}

type wholeBody struct{ *body }

func (*wholeBody) Whole() bool { return true }

// An error of the request's body ends the wait for the answer, and the answer.
func TestBodyBreaks(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, a *api) {
		for _, answered := range []bool{false, true} {
			transport := a.transport()
			r, w := io.Pipe()
			source := &body{Reader: r}
			c := begin(t, transport, a.request("POST", source))
			p := a.accept()
			req := p.header()
			io.WriteString(w, "x")
			io.ReadFull(req.Body, make([]byte, 1))
			if answered {
				p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nan")
			}
			w.CloseWithError(errBroken)
			c.fails(errBroken)
			is(t, "the body was closed", source.closed.Load() > 0, true)
			p.rest()
			is(t, "idle connections", len(transport.idle()), 0)
		}
	})
}

// Both directions flow at a time.
func TestEcho(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, a *api) {
		transport := a.transport()
		text := strings.Repeat("0123456789abcdef", 400<<10/16*10)
		c := begin(t, transport, a.request("POST", io.MultiReader(strings.NewReader(text))))
		p := a.accept()
		req := p.header()
		p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		part := make([]byte, 10000)
		for {
			n, err := req.Body.Read(part)
			if n > 0 {
				p.say(chunk(string(part[:n])))
			}
			if err != nil {
				break
			}
		}
		p.say("0\r\n\r\n")
		if err := c.end(); err != nil || c.body != text {
			t.Errorf("got %d of %d bytes; error %v", len(c.body), len(text), err)
		}
		is(t, "idle connections", len(transport.idle()), 1)
	})
}
