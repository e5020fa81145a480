package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Steps of an exchange, at which a request is cancelled.
func TestCancel(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		steps func(a *api, p *peer) // what the upstream does before
		kept  bool                  // on a connection that was used
	}{
		"before the header": {func(_ *api, p *peer) { p.header() }, false},
		"in the header":     {func(_ *api, p *peer) { p.header(); p.say("HTTP/1.1 200 O") }, false},
		"after an interim":  {func(_ *api, p *peer) { p.header(); p.say("HTTP/1.1 103 X\r\n\r\n") }, true},
		"before the body":   {func(_ *api, p *peer) { p.header(); p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n") }, true},
		"in the body":       {func(_ *api, p *peer) { p.header(); p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no") }, true},
		"in a chunk":        {func(_ *api, p *peer) { p.header(); p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n") }, true},
		"in a trailer": {func(_ *api, p *peer) {
			p.header()
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX")
		}, true},
		"while nothing is read": {func(*api, *peer) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, secure := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					a := pipes(t)
					if secure {
						a.withTLS(tls.VersionTLS12)
					}
					transport := a.transport()
					var p *peer
					if test.kept {
						p = a.kept(transport)
					}
					ctx, cancel := context.WithCancel(t.Context())
					source := &body{Reader: neverEnding{ctx}}
					c := begin(t, transport, a.request("POST", source).WithContext(ctx))
					if p == nil {
						p = a.accept()
					}
					test.steps(a, p)
					synctest.Wait()
					start := time.Now()
					cancel()
					c.fails(context.Canceled)
					is(t, "the wait", time.Since(start), 0)
					synctest.Wait()
					is(t, "the body was closed", source.closed.Load() > 0, true)
					is(t, "idle connections", len(transport.idle()), 0)
				})
			}
		})
	}
}

// neverEnding is a body that waits until its context is done.
type neverEnding struct{ ctx context.Context }

func (n neverEnding) Read([]byte) (int, error) { <-n.ctx.Done(); return 0, n.ctx.Err() }

// A request whose context is done before it begins is not sent.
func TestCancelledBefore(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a := pipes(t)
			transport := a.transport()
			var p *peer
			if kept {
				p = a.kept(transport)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			for range 20 {
				source := &body{Reader: strings.NewReader("body")}
				c := begin(t, transport, a.request("POST", source).WithContext(ctx))
				c.fails(context.Canceled)
				is(t, "the body was closed", source.closed.Load() > 0, true)
			}
			synctest.Wait()
			if kept {
				is(t, "idle connections", len(transport.idle()), 1)
				transport.Close()
				is(t, "the rest", p.rest(), "")
			} else {
				is(t, "dials", a.dials.Load(), 0)
			}
		})
	}
}

// A request that is cancelled when its answer has come, and was not read, is answered. Its connection
// serves nobody.
func TestCancelBeforeTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		transport := a.transport()
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan *http.Response, 1)
		go func() {
			res, err := transport.RoundTrip(a.request("GET", nil).WithContext(ctx))
			if err != nil {
				t.Error(err)
			}
			got <- res
		}()
		p := a.accept()
		p.request()
		p.say(ok)
		res := <-got
		cancel()
		synctest.Wait()
		if b, err := io.ReadAll(res.Body); string(b) != "ok" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		res.Body.Close()
		synctest.Wait()
		is(t, "idle connections", len(transport.idle()), 0)
	})
}

// A request that is cancelled after its answer's end harms nobody: neither the body that was read,
// nor who has the connection then.
func TestCancelAfterTheEnd(t *testing.T) {
	t.Parallel()
	a := listen(t)
	transport := a.transport()
	ctx, cancel := context.WithCancel(t.Context())
	c := begin(t, transport, a.request("GET", nil).WithContext(ctx))
	p := a.accept()
	p.serve()
	c.want("ok")
	second := a.get(transport)
	p.request()
	cancel()
	p.say(ok)
	second.want("ok")
	is(t, "connections", a.dials.Load(), 1)
}

// Cancelling at any moment ends the call at once, with an answer or the context's error.
func TestCancelRaces(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, a *api) {
		transport := a.transport(func(c *Config) { c.Timeout = 50 * time.Millisecond })
		defer a.serveAll(ok)()
		for i := range 2000 {
			ctx, cancel := context.WithCancel(t.Context())
			c := begin(t, transport, a.request("GET", nil).WithContext(ctx))
			spin(i % 40)
			cancel()
			if err := c.end(); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			} else if err == nil {
				is(t, "the answer", c.body, "ok")
			}
		}
	})
}

// spin lets other goroutines go on, n times.
func spin(n int) {
	for range n {
		runtime.Gosched()
	}
}

// The one who calls Close of an answer, or whose request is cancelled, does not wait for an
// upstream that reads nothing.
func TestCloseWaitsForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t).withTLS(tls.VersionTLS12)
		transport := a.transport()
		got := make(chan *http.Response, 1)
		go func() {
			res, err := transport.RoundTrip(a.request("GET", nil))
			if err != nil {
				t.Error(err)
			}
			got <- res
		}()
		p := a.accept()
		p.header()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
		res := <-got
		start := time.Now()
		res.Body.Close()
		is(t, "the wait", time.Since(start), 0)
		p.rest()
	})
}

// A bound of what is still to be written does not undo an interruption.
func TestInterruptedWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		defer here.Close()
		c := newConn(here, nil)
		start := time.Now()
		c.writeUntil(start.Add(lateBody))
		if _, err := c.Conn.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		is(t, "the wait", time.Since(start), lateBody)
		c.interrupt(errBroken)
		c.writeUntil(time.Now().Add(time.Hour))
		if _, err := c.Conn.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		is(t, "the wait", time.Since(start), lateBody)
	})
}

// An interruption ends a wait, whatever moves its deadline at the time.
func TestInterruptRaces(t *testing.T) {
	t.Parallel()
	a := listen(t)
	transport := a.transport()
	a.kept(transport)
	p, err := transport.pools.of(a.request("GET", nil).URL)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		raw, err := p.dial(t.Context(), "tcp", "api.test:80")
		if err != nil {
			t.Fatal(err)
		}
		c := newConn(raw, p)
		read := make(chan error)
		c.waitUntil(time.Now().Add(-time.Second)) // the read begins with a wake
		c.waitUntil(time.Time{})
		go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
		go func() { c.waitUntil(time.Now().Add(patience())); c.waitUntil(time.Time{}) }()
		spin(i % 10)
		c.interrupt(errBroken)
		is(t, "the error", <-read, errBroken)
		c.Close()
	}
}
