package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/idna"
)

const (
	// maxIdle is how many idle connections are kept to one host.
	maxIdle = 1024
	// maxIdleTime is how long a connection is kept without a request.
	maxIdleTime = 90 * time.Second
	// maxAge bounds how long connections are used. Without it, an app would stay with an
	// upstream that has moved, or with a host that is being drained.
	maxAge = 5 * time.Minute
	// maxSleep is how far the wall clock and the monotonic clock may differ. While a machine
	// sleeps, the monotonic clock stands still, by which connections grow old here; but the
	// upstream closes them.
	maxSleep = 5 * time.Second
	// maxDials is how many connections are made at a time to one host. More requests than that
	// wait for these, or for a connection that becomes idle.
	maxDials = 64
	// maxWait is how long a request waits until it ends with the next error of a dial, whoever that
	// was for. Otherwise, requests to a host that drops packets would wait for one another's dials,
	// and longer the more of them there are.
	maxWait = 20 * time.Second
	// dialTimeout bounds the making of one connection. The dialer, the TLS handshake and a proxy
	// on the way have bounds of their own, which are reached before.
	dialTimeout = 2 * time.Minute
)

// An origin is a scheme, a host and a port.
type origin struct{ scheme, host string }

// pools are the pools of a transport, by origin.
type pools struct {
	dial map[string]Dialer // by scheme

	mu     sync.Mutex
	all    map[origin]*pool
	closed bool
}

func (p *pools) of(u *url.URL) (*pool, error) {
	o := origin{u.Scheme, u.Host}
	p.mu.Lock()
	defer p.mu.Unlock()
	if pool := p.all[o]; pool != nil {
		return pool, nil
	}
	dial := p.dial[u.Scheme]
	if dial == nil {
		return nil, fmt.Errorf("calling %s: neither http nor https", u.Redacted())
	}
	address, err := addressOf(u)
	if err != nil {
		return nil, err
	}
	pool := &pool{dial: dial, address: address, closed: p.closed}
	p.all[o] = pool
	return pool, nil
}

// addressOf returns where a URL's host is reached.
func addressOf(u *url.URL) (string, error) {
	host, port := u.Hostname(), u.Port()
	if host == "" {
		return "", errors.New("calling an upstream: its URL has no host")
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		host = ascii
	}
	return net.JoinHostPort(host, port), nil
}

func (p *pools) each(do func(*pool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pool := range p.all {
		do(pool)
	}
}

func (p *pools) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.each((*pool).close)
}

// A pool has the connections to one host.
//
// A request takes the connection that became idle last. Where there is none, it waits: one is
// dialled for it, and it takes that or one that becomes idle before. A dial goes on when its
// request has left, and serves another one.
type pool struct {
	dial    Dialer
	address string

	mu      sync.Mutex
	idle    []*conn // the one that was used last is at the end
	waiting []*waiter
	dialing int
	closed  bool
	sweep   *time.Timer // closes what was idle for too long; nil while nothing is idle
}

// A waiter is a request that waits for a connection. It is served once.
type waiter struct {
	ready chan delivery
	since time.Time
}

// A delivery is a connection, or why there is none.
type delivery struct {
	conn *conn
	err  error
}

// get returns a connection for one request, which ends with put or with closing it.
func (p *pool) get(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := time.Now()
	p.mu.Lock()
	for n := len(p.idle); n > 0; n = len(p.idle) {
		c := p.idle[n-1]
		p.idle[n-1], p.idle = nil, p.idle[:n-1]
		if c.usable(now) {
			p.mu.Unlock()
			c.reused = true
			return c, nil
		}
		go c.Close()
	}
	w := &waiter{make(chan delivery, 1), now}
	p.waiting = append(p.waiting, w)
	p.dialMore()
	p.mu.Unlock()
	select {
	case d := <-w.ready:
		return d.conn, d.err
	case <-ctx.Done():
		p.abandon(w)
		return nil, ctx.Err()
	}
}

// abandon is called when a waiter's request has left. What it was given meanwhile is another's.
func (p *pool) abandon(w *waiter) {
	p.mu.Lock()
	if i := slices.Index(p.waiting, w); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	select {
	case d := <-w.ready:
		if d.conn != nil {
			p.put(d.conn)
		}
	default:
	}
}

// dialMore dials for those who wait: a dial is under way for each, up to maxDials. A connection
// that is in use may close after its request, so they do not count on that. The caller holds p.mu.
func (p *pool) dialMore() {
	for ; p.dialing < min(len(p.waiting), maxDials); p.dialing++ {
		go p.dialOne()
	}
}

func (p *pool) dialOne() {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	raw, err := p.dial(ctx, "tcp", p.address)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	if err == nil {
		p.putLocked(newConn(raw, p))
	} else {
		p.failLocked(err)
	}
	p.dialMore()
}

// failLocked ends the request that waits longest with an error of a dial, and all that have waited for
// maxWait.
func (p *pool) failLocked(err error) {
	p.serve(delivery{err: err})
	for now := time.Now(); len(p.waiting) > 0 && now.Sub(p.waiting[0].since) >= maxWait; {
		p.serve(delivery{err: err})
	}
}

// put takes back a connection that can serve another request.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.putLocked(c)
}

func (p *pool) putLocked(c *conn) {
	c.since = time.Now()
	if c.since.Sub(c.born) < maxAge && p.serve(delivery{conn: c}) {
		return
	}
	if c.since.Sub(c.born) >= maxAge || p.closed || len(p.idle) == maxIdle {
		go c.Close()
		return
	}
	p.idle = append(p.idle, c)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(maxIdleTime, p.closeOld)
	}
}

// serve gives d to the request that waits longest, and reports whether there is one. The caller
// holds p.mu.
func (p *pool) serve(d delivery) bool {
	if len(p.waiting) == 0 {
		return false
	}
	w := p.waiting[0]
	p.waiting = slices.Delete(p.waiting, 0, 1)
	w.ready <- d
	return true
}

// closeOld closes what was idle for maxIdleTime.
func (p *pool) closeOld() {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep = nil
	keep := slices.IndexFunc(p.idle, func(c *conn) bool { return now.Sub(c.since) < maxIdleTime })
	if keep < 0 {
		keep = len(p.idle)
	}
	for _, c := range p.idle[:keep] {
		go c.Close()
	}
	p.idle = slices.Delete(p.idle, 0, keep)
	if len(p.idle) > 0 {
		p.sweep = time.AfterFunc(maxIdleTime-now.Sub(p.idle[0].since), p.closeOld)
	}
}

func (p *pool) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		go c.Close()
	}
	p.idle = nil
	if p.sweep != nil {
		p.sweep.Stop()
		p.sweep = nil
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.closeIdle()
}
