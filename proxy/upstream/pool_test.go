package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A gate is a dialer whose dials end when a test says so, in the order in which they began.
type gate struct {
	a       *api
	mu      sync.Mutex
	pending []chan error
	most    int
}

func (g *gate) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c := make(chan error, 1)
	g.mu.Lock()
	g.pending = append(g.pending, c)
	g.most = max(g.most, len(g.pending))
	g.mu.Unlock()
	select {
	case err := <-c:
		if err != nil {
			return nil, err
		}
		return g.a.dial(ctx, network, address)
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		return nil, ctx.Err()
	}
}

// end ends the first dial that is pending.
func (g *gate) end(err error) {
	g.mu.Lock()
	c := g.pending[0]
	g.pending = g.pending[1:]
	g.mu.Unlock()
	c <- err
	synctest.Wait()
}

func (g *gate) count() int {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.pending)
}

func gated(t *testing.T) (*api, *gate, *Transport) {
	a := pipes(t)
	g := &gate{a: a}
	return a, g, a.transport(func(c *Config) { c.Dial = g.dial })
}

func (c *call) over() bool {
	synctest.Wait()
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// At most maxDials connections are made at a time, and every request gets one.
func TestDialsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, g, transport := gated(t)
		var calls []*call
		for range 3 * maxDials {
			calls = append(calls, a.get(transport))
		}
		is(t, "dials", g.count(), maxDials)
		go func() {
			for range len(calls) {
				p := <-a.peers
				go func() {
					p.header()
					p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
				}()
			}
		}()
		for g.count() > 0 {
			g.end(nil)
		}
		for _, c := range calls {
			c.want("ok")
		}
		is(t, "the most dials", g.most, maxDials)
		is(t, "connections", int(a.dials.Load()), len(calls))
	})
}

// A dial goes on when its request has left, and serves another request.
func TestDialSurvivesItsRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, g, transport := gated(t)
		ctx, leave := context.WithCancel(t.Context())
		c := begin(t, transport, a.request("GET", nil).WithContext(ctx))
		is(t, "dials", g.count(), 1)
		leave()
		c.fails(context.Canceled)
		second := a.get(transport)
		is(t, "dials", g.count(), 1)
		g.end(nil)
		a.accept().serve()
		second.want("ok")
		is(t, "connections", a.dials.Load(), 1)

		// One that ends when nobody waits is idle, is looked at, and is used.
		ctx, leave = context.WithCancel(t.Context())
		transport.CloseIdleConnections()
		c = begin(t, transport, a.request("GET", nil).WithContext(ctx))
		is(t, "dials", g.count(), 1)
		leave()
		c.fails(context.Canceled)
		g.end(nil)
		is(t, "idle connections", len(transport.idle()), 1)
		third := a.get(transport)
		a.accept().serve()
		third.want("ok")
		is(t, "connections", a.dials.Load(), 2)
	})
}

// An error of a dial ends one request. The others have dials of their own.
func TestDialErrorReachesOneRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, g, transport := gated(t)
		source := &body{Reader: strings.NewReader("body")}
		first := begin(t, transport, a.request("POST", source))
		synctest.Wait()
		var others []*call
		for range 2 * maxDials {
			others = append(others, a.get(transport))
			synctest.Wait()
		}
		is(t, "dials", g.count(), maxDials)
		refused := errors.New("connection refused")
		g.end(refused)
		first.fails(refused)
		is(t, "the body was closed", source.closed.Load(), 1)
		for i, c := range others {
			if c.over() {
				t.Fatalf("request %d ended, too", i)
			}
			is(t, "dials", g.count(), min(len(others)-i, maxDials))
			g.end(fmt.Errorf("number %d", i))
			if err := c.end(); err == nil || err.Error() != fmt.Sprintf("number %d", i) {
				t.Errorf("request %d: %v", i, err)
			}
		}
		is(t, "dials", g.count(), 0)
	})
}

// A request that waits takes a connection that becomes idle before its dial ends; the dial's
// connection is idle then. Whoever waits longest is served first.
func TestIdleConnectionServesWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, g, transport := gated(t)
		first := a.get(transport)
		is(t, "dials", g.count(), 1)
		g.end(nil)
		p := a.accept()
		second := begin(t, transport, a.request("PUT", nil))
		synctest.Wait()
		third := begin(t, transport, a.request("DELETE", nil))
		is(t, "dials", g.count(), 2)
		p.serve()
		first.want("ok")
		req, _ := p.request()
		is(t, "the next", req.Method, "PUT")
		p.say(ok)
		second.want("ok")
		p.serve()
		third.want("ok")
		is(t, "dials", g.count(), 2)
		g.end(nil)
		g.end(nil)
		synctest.Wait()
		is(t, "idle connections", len(transport.idle()), 3)
	})
}

// A connection that has become old during a request does not serve the one that waits.
func TestOldConnectionServesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, g, transport := gated(t)
		first := a.get(transport)
		is(t, "dials", g.count(), 1)
		g.end(nil)
		p := a.accept()
		p.header()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
		time.Sleep(maxAge)
		second := a.get(transport)
		is(t, "dials", g.count(), 1)
		p.say("ok")
		first.want("ok")
		is(t, "the rest", p.rest(), "")
		g.end(nil)
		a.accept().serve()
		second.want("ok")
	})
}

// Whatever comes between, a request that waits has a dial or is served. Leaving requests, dials that
// fail and connections that close come in all orders.
func TestNobodyStarves(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			a, g, transport := gated(t)
			stop := a.serveAll(ok)
			x := seed
			next := func(n uint64) uint64 {
				x = x*6364136223846793005 + 1442695040888963407
				return x >> 33 % n
			}
			type running struct {
				*call
				leave context.CancelFunc
			}
			var calls []running
			for range 100 {
				switch next(6) {
				case 0, 1, 2:
					for range 1 + next(40) {
						ctx, leave := context.WithCancel(t.Context())
						calls = append(calls, running{begin(t, transport, a.request("GET", nil).WithContext(ctx)), leave})
					}
				case 3:
					if len(calls) > 0 {
						calls[next(uint64(len(calls)))].leave()
					}
				case 4:
					if g.count() > 0 {
						g.end(nil)
					}
				case 5:
					if g.count() > 0 {
						g.end(errors.New("refused"))
					}
				}
				synctest.Wait()
				waiting := transport.waiting()
				if want := min(waiting, maxDials); g.count() < want {
					t.Fatalf("seed %d: %d requests wait for %d dials", seed, waiting, g.count())
				}
			}
			for g.count() > 0 {
				g.end(nil)
			}
			for _, c := range calls {
				if !c.over() {
					t.Fatalf("seed %d: a request waits", seed)
				}
				c.leave()
			}
			transport.Close()
			stop()
		})
	}
}

func (t *Transport) waiting() (n int) {
	t.pools.each(func(p *pool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		n += len(p.waiting)
	})
	return n
}

// Many requests at a time use connections that others have used, and get their own answers.
func TestManyAtATime(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, a *api) {
		transport := a.transport()
		stop := a.serveAll("")
		var all sync.WaitGroup
		var wrong atomic.Int32
		for i := range 16 {
			all.Go(func() {
				for j := range 50 {
					text := fmt.Sprintf("%d-%d-%s", i, j, strings.Repeat("x", j*j*20))
					c := begin(t, transport, a.request("POST", strings.NewReader(text)))
					if <-c.done; c.err != nil || c.body != text {
						wrong.Add(1)
					}
				}
			})
		}
		all.Wait()
		stop()
		is(t, "wrong answers", wrong.Load(), 0)
		if n := a.dials.Load(); n > 40 {
			t.Errorf("%d connections were opened", n)
		}
	})
}

// What a request that leaves was given at that moment is another's.
func TestAbandon(t *testing.T) {
	t.Parallel()
	a := listen(t)
	transport := a.transport()
	a.kept(transport)
	p, err := transport.pools.of(a.request("GET", nil).URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &waiter{ready: make(chan delivery, 1)}
	w.ready <- delivery{conn: c}
	p.abandon(w)
	is(t, "idle connections", len(transport.idle()), 1)
	w.ready <- delivery{err: errBroken}
	p.abandon(w)
	is(t, "idle connections", len(transport.idle()), 1)
}
