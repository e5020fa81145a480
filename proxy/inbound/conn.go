package inbound

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// A listener accepts connections that cut off a client which takes nothing of an
// answer for writeIdle, and never one that is merely slow. They refuse a request
// whose framing is ambiguous. Each connection has a slot of the limiter.
type listener struct {
	net.Listener
	limiter  *ConnLimiter // nil is without limits
	draining *atomic.Bool
	ended    *atomic.Bool // see Conn.ended
	once     sync.Once
	closed   chan struct{}
	tls      *tls.Config            // nil is plain HTTP
	refused  func(Refused) *Problem // may be nil
	log      *zap.Logger
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		if !errors.Is(err, net.ErrClosed) {
			l.log.Error("accepting a connection", zap.Error(err)) // the server tries again
		}
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(writeBuffer)
	}
	if l.tls != nil {
		c = tls.Server(c, l.tls) // the first Read makes the handshake, within headerTimeout
	}
	conn := &Conn{Conn: c, drain: l.draining, ended: l.ended, onRefused: l.refused}
	if l.limiter != nil {
		if conn.slot = l.limiter.acquire(conn, l.closed); conn.slot == nil {
			c.Close()
			return nil, net.ErrClosed
		}
	}
	return conn, nil
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A Conn is an app's connection. The server reads and writes between requests.
// Several goroutines may do so during a request.
type Conn struct {
	net.Conn
	drain     *atomic.Bool // the server is draining; may be nil
	ended     *atomic.Bool // the server cuts off what it serves; may be nil
	slot      *slot
	onRefused func(Refused) *Problem // may be nil

	sendDue    deadlineStart // the app is due to send BodyChunk of a body
	takeDue    deadlineStart // the app is due to take what is written of an answer
	header     headerMemory
	framing    framing     // used by one Read at a time
	refused    bool        // for its header, or it ended before the next request; nothing more is read
	incomplete atomic.Bool // the app has not sent all of a request
	arrived    atomic.Bool // the app has sent all of a request, and no more
	closing    atomic.Bool
	serving    atomic.Bool // a request, or another protocol: a handler writes
	watch      watch
	peer       peer
	attached   any // to the request that is served
	proof      any // that an Authenticator keeps
}

// ConnOf returns the connection on which a request came, from the request's
// context. It never returns nil.
func ConnOf(ctx context.Context) *Conn {
	if c, ok := ctx.Value(connKey{}).(*Conn); ok {
		return c
	}
	return new(Conn)
}

// Attach keeps a value for the request that is being served; nil ends that. It returns false
// when there is no connection to keep it with. Only the goroutine that serves the request
// may call it, and Attached.
func (c *Conn) Attach(value any) bool {
	c.attached = value
	return c.Conn != nil
}

// Attached returns what Attach keeps.
func (c *Conn) Attached() any { return c.attached }

// SetProof keeps what an Authenticator has found out about the requests of the connection. Only the
// goroutine that serves a request may call it, and Proof.
func (c *Conn) SetProof(proof any) { c.proof = proof }

// Proof returns what SetProof keeps.
func (c *Conn) Proof() any { return c.proof }

// Draining reports whether the connection should not be used again.
func (c *Conn) Draining() bool { return c.drain != nil && c.drain.Load() }

// Arrived reports whether it is certain that all of the request has been read from the
// connection. What the handler has not read of it is in memory then.
func (c *Conn) Arrived() bool { return c.arrived.Load() }

// BodyDue notes that the app is due to send BodyChunk of a body since t. Another
// connection may take its slot when it is slow.
func (c *Conn) BodyDue(since time.Time) { c.sendDue.set(since) }

// BodyDone notes that the app is not due to send some of a body.
func (c *Conn) BodyDone() { c.sendDue.clear() }

// Close closes the connection. Where the app still sends, it is read on for some
// time: its bytes would reset the connection, and take with it what the app has
// not read of an answer (RFC 9112, section 9.6). A second call waits for nothing, nor does one of a
// server that has ended: a handler may be reading a body, and the record of its request waits for it.
func (c *Conn) Close() error {
	if c.closing.Swap(true) || !c.incomplete.Load() || c.ended != nil && c.ended.Load() || c.CloseWrite() != nil {
		return c.end()
	}
	c.sendDue.set(time.Now())
	go c.linger()
	return nil
}

// linger reads on, for lingerMost at the longest. Nobody waits for it: a process
// that ends resets what is still sent.
func (c *Conn) linger() {
	defer c.end()
	var unread [4 << 10]byte
	for now, last := time.Now(), time.Now().Add(lingerMost); now.Before(last); now = time.Now() {
		c.Conn.SetReadDeadline(now.Add(lingerIdle))
		if _, err := c.Conn.Read(unread[:]); err != nil {
			return
		}
	}
}

func (c *Conn) end() error {
	err := c.Conn.Close()
	c.watch.end()
	c.releaseHeader(true)
	c.slot.release()
	return err
}

func (c *Conn) Read(p []byte) (int, error) {
	if c.refused {
		return 0, io.EOF
	}
	if len(p) == 1 && c.arrived.Load() { // net/http reads in the background, and nothing else does so
		c.want()
		return 0, nil
	}
	n, err := c.next(p)
	if err != nil && c.answerCleartext(err) {
		c.refused = true
		return 0, io.EOF
	}
	c.framing.follow(p[:n])
	c.incomplete.Store(c.framing.within())
	c.arrived.Store(c.framing.between())
	if !c.serving.Load() {
		if problem := c.refuseHeader(p[:n]); problem != nil {
			c.write(c.refusal(problem))
			c.refused = true
			c.incomplete.Store(true)
			return 0, io.EOF
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && (n == 0 || c.framing.withinHeader()) {
			c.refused = true // no request has come: the server's answer is neither sent nor recorded
		}
	}
	return n, err
}

// releaseHeader gives back the memory of the request's header, and does so for
// good when the connection is closed.
func (c *Conn) releaseHeader(closed bool) {
	if c.slot != nil {
		c.header.release(c.slot.limiter.headers, closed)
	}
}

func (c *Conn) Write(p []byte) (int, error) {
	if c.serving.Load() {
		return c.write(p)
	}
	if c.refused {
		return len(p), nil
	}
	if ours := unreadable(p, c.framing.ambiguous); ours != nil {
		_, err := c.write(c.refusal(ours))
		return len(p), err
	}
	return c.write(p)
}

func (c *Conn) write(p []byte) (int, error) {
	defer c.takeDue.clear()
	for written := 0; ; {
		now := time.Now()
		c.takeDue.set(now)
		c.Conn.SetWriteDeadline(now.Add(writeIdle))
		n, err := c.Conn.Write(p[written:])
		written += n
		if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return written, err
		}
	}
}

// CloseWrite ends an answer while the app still sends: closing outright would
// reset the connection, and may take the answer with it.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
