package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// An answer that comes before the request is written is passed on. The connection serves another
// request if the rest of the request's body is written soon.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer string
		soon   bool // the rest of the body comes
		kept   int
	}{
		"small, and the rest comes": {ok, true, 1},
		"small, and no rest":        {ok, false, 0},
		"close":                     {"HTTP/1.1 413 X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", true, 0},
		"no length":                 {"HTTP/1.1 413 X\r\n\r\nok", true, 0},
		"chunked":                   {"HTTP/1.1 413 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := pipes(t)
				transport := a.transport()
				r, w := io.Pipe()
				source := &body{Reader: r}
				req := a.request("POST", source)
				req.ContentLength = 4
				c := begin(t, transport, req)
				p := a.accept()
				p.header()
				io.WriteString(w, "bo")
				p.say(test.answer)
				if test.kept == 0 && test.soon {
					p.Close()
				}
				c.want("ok")
				if test.soon {
					go func() {
						io.WriteString(w, "dy")
						w.Close()
					}()
					if test.kept > 0 {
						io.ReadFull(p.r, make([]byte, 4))
					}
				}
				time.Sleep(2 * lateBody)
				if !test.soon {
					r.Close() // what the server does when its handler has ended
				}
				synctest.Wait()
				is(t, "idle connections", len(transport.idle()), test.kept)
				is(t, "the body was closed", source.closed.Load() > 0, true)
			})
		})
	}
}

// An upstream that refuses a long body and closes its connection is understood: the write error
// does not hide the answer.
func TestWriteErrorDoesNotHideTheAnswer(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, a *api) {
		for _, kept := range []bool{false, true} {
			transport := a.transport()
			var p *peer
			if kept {
				p = a.kept(transport)
			}
			r, w := io.Pipe()
			source := &body{Reader: r}
			c := begin(t, transport, a.request("POST", source))
			if p == nil {
				p = a.accept()
			}
			p.header()
			p.say("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
			p.Close()
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					break
				}
			}
			c.want("no")
			is(t, "the body was closed", source.closed.Load() > 0, true)
		}
	})
}

// The same holds for a header that cannot be written to its end. Its body is closed.
func TestLongHeaderIsRefused(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, a *api) {
		transport := a.transport()
		source := &body{Reader: strings.NewReader("body")}
		req := a.request("POST", source, "X", strings.Repeat("x", 16<<20))
		c := begin(t, transport, req)
		p := a.accept()
		p.r.Peek(1)
		p.say("HTTP/1.1 431 Too Long\r\nContent-Length: 2\r\n\r\nno")
		c.want("no")
		p.Close()
		eventually(t, "an end of the request's body", func() bool { return source.closed.Load() > 0 })
		is(t, "idle connections", len(transport.idle()), 0)
	})
}

// An upload whose reader goes away fails with the write error, a second after.
func TestNoAnswerToABrokenUpload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		cannot := errors.New("cannot write")
		transport := a.transport(func(c *Config) {
			c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				raw, err := a.dial(ctx, network, address)
				return &unwritable{raw, cannot}, err
			}
		})
		start := time.Now()
		source := &body{Reader: strings.NewReader("body")}
		c := begin(t, transport, a.request("POST", source))
		c.fails(cannot)
		is(t, "the wait", time.Since(start), lateAnswer)
		is(t, "the body was closed", source.closed.Load() > 0, true)
	})
}

type unwritable struct {
	net.Conn
	err error
}

func (u *unwritable) Write([]byte) (int, error) { return 0, u.err }
