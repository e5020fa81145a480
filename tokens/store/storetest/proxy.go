package storetest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// A Proxy stands between a store and its engine, and breaks the engine's answers. Safe for
// concurrent use.
type Proxy struct {
	Addr string // HOST:PORT, where it listens

	limit atomic.Int64 // bytes of answers that a connection lets through; negative for all
	stall atomic.Bool  // whether a connection then stays open

	mu      sync.Mutex
	stalled chan struct{} // closed when stalled connections end
}

// NewProxy returns a proxy before a TCP address, until the test ends.
func NewProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), stalled: make(chan struct{})}
	p.Pass()
	var group sync.WaitGroup
	group.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { p.serve(client, target) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.Pass()
		group.Wait()
	})
	return p
}

// Pass lets all answers through, and ends connections that are stalled.
func (p *Proxy) Pass() { p.set(-1, false) }

// Cut breaks each new connection after it has let n bytes of answers through.
func (p *Proxy) Cut(n int64) { p.set(n, false) }

// Stall lets n bytes of answers through on each new connection, and no more until the next
// call of Pass or Cut.
func (p *Proxy) Stall(n int64) { p.set(n, true) }

func (p *Proxy) set(limit int64, stall bool) {
	p.limit.Store(limit)
	p.stall.Store(stall)
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.stalled)
	p.stalled = make(chan struct{})
}

// serve joins a connection to one of the engine. All requests go through.
func (p *Proxy) serve(client net.Conn, target string) {
	p.mu.Lock()
	stalled := p.stalled
	p.mu.Unlock()
	limit, stall := p.limit.Load(), p.stall.Load()
	defer client.Close()
	engine, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	var requests sync.WaitGroup
	requests.Go(func() {
		io.Copy(engine, client)
		engine.(*net.TCPConn).CloseWrite()
	})
	if limit < 0 {
		io.Copy(client, engine)
	} else if n, _ := io.CopyN(client, engine, limit); n == limit {
		// The engine has begun to answer what comes next, so it has got the request.
		engine.Read(make([]byte, 1))
		if stall {
			<-stalled
		}
	}
	client.Close()
	requests.Wait()
	engine.Close()
}
