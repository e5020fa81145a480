package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// readBuffer is how much of an answer is read ahead, in bytes. A longer header is read in
// parts; a body goes past the buffer.
const readBuffer = 4 << 10

// A conn is a connection to an upstream. It serves one exchange at a time.
type conn struct {
	net.Conn
	pool  *pool
	watch *watchedConn // below TLS; nil where the connection is no socket
	r     *bufio.Reader
	born  time.Time
	since time.Time     // it became idle
	keep  time.Duration // how long it may be idle and still serve a request

	// reused reports whether the upstream may have closed the connection since it was last
	// looked at.
	reused bool

	readWait
}

// A readWait is how long the present read may wait, and what ends it before. A deadline of the
// connection costs a timer to set. So it is set for the first wait and stays; a later wait only
// moves it if it would end too late, and one that it ends too early goes on.
type readWait struct {
	mu    sync.Mutex
	due   time.Time // when the wait ends; zero when nothing ends it
	armed time.Time // the connection's deadline; zero when it has none
	err   error     // ends this wait, and all later ones
}

func newConn(raw net.Conn, p *pool) *conn {
	c := &conn{Conn: raw, pool: p, born: time.Now(), keep: maxIdleTime}
	c.watch = watchedOf(raw)
	c.r = bufio.NewReaderSize(c, readBuffer)
	return c
}

// usable reports whether a connection that was idle may serve a request.
func (c *conn) usable(now time.Time) bool {
	slept := now.Round(0).Sub(c.since.Round(0)) - now.Sub(c.since)
	return now.Sub(c.born) < maxAge && now.Sub(c.since) < c.keep && slept.Abs() < maxSleep
}

// Read reads until c.due. It returns a timeoutError then, and can be called again.
func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if err := c.wake(); err != nil {
			return 0, err
		}
	}
}

// A timeoutError is the end of a wait. It is a context.DeadlineExceeded and a net.Error.
type timeoutError struct{}

func (timeoutError) Error() string        { return "the upstream did not answer in time" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Temporary() bool      { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// wake is called when the connection's deadline has passed. It returns why the wait ends, or
// moves the deadline.
func (c *conn) wake() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if !c.due.IsZero() && !time.Now().Before(c.due) {
		c.armed = time.Time{} // the next wait sets it
		return timeoutError{}
	}
	c.armLocked(c.due)
	return nil
}

// waitUntil has reads end at a time; a zero time is none.
func (c *conn) waitUntil(due time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = due
	if c.err == nil && !due.IsZero() && (c.armed.IsZero() || c.armed.After(due)) {
		c.armLocked(due)
	}
}

func (c *conn) armLocked(due time.Time) {
	c.armed = due
	c.Conn.SetReadDeadline(due)
}

// interrupt ends this wait and all later ones with an error, and what is being written. The
// connection serves no other request.
func (c *conn) interrupt(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		c.Conn.SetDeadline(time.Unix(1, 0))
	}
}

// writeUntil has writes end at a time, unless an interruption has ended them.
func (c *conn) writeUntil(due time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.Conn.SetWriteDeadline(due)
	}
}

// CloseWrite ends one direction of a connection that has switched protocols.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// watchedOf returns the connection below TLS that watched made; nil where it is none.
func watchedOf(c net.Conn) *watchedConn {
	for {
		switch below := c.(type) {
		case *watchedConn:
			return below
		case *tls.Conn:
			c = below.NetConn()
		default:
			return nil
		}
	}
}
