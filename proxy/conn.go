package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// patient is a listener whose connections cut off a client that takes nothing
// of an answer for writeIdle, and never one that is merely slow. They refuse a
// request that is framed in two ways. Each has a place in the room.
type patient struct {
	net.Listener
	room     *Room
	draining *atomic.Bool
	once     sync.Once
	closed   chan struct{}
	log      *zap.Logger
}

func (l *patient) Accept() (net.Conn, error) {
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
	conn := &patientConn{Conn: c, drain: l.draining}
	if l.room != nil {
		if conn.place = l.room.enter(conn, l.closed); conn.place == nil {
			c.Close()
			return nil, net.ErrClosed
		}
	}
	return conn, nil
}

func (l *patient) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A patientConn is an app's connection. Reads and writes between requests are the
// server's own; those of a request may be of several goroutines.
type patientConn struct {
	net.Conn
	drain *atomic.Bool // of the server; may be nil
	// Since when the app is due to send bodyLeast of a body, and to take what is
	// written of an answer.
	sends, takes due
	refused      bool // for its header; it is not read on
	meter        meter
	owes         atomic.Bool // the rest of a request
	closing      atomic.Bool
	place        *place
	framing      framing     // used by one Read at a time
	serving      atomic.Bool // a request, or another protocol: what is written is a handler's
}

// draining reports whether the connection should not be used again.
func (c *patientConn) draining() bool { return c.drain != nil && c.drain.Load() }

// Close closes the connection. Where the app still sends, it is read on for some
// time: its bytes would reset the connection, and take with it what the app has
// not read of an answer (RFC 9112, section 9.6). A second call waits for nothing.
func (c *patientConn) Close() error {
	if c.closing.Swap(true) || !c.owes.Load() || c.CloseWrite() != nil {
		return c.end()
	}
	c.sends.from(time.Now())
	go c.linger()
	return nil
}

// linger reads on, for lingerMost at the longest. Nobody waits for it: a process
// that ends resets what is still sent.
func (c *patientConn) linger() {
	defer c.end()
	var unread [4 << 10]byte
	for now, last := time.Now(), time.Now().Add(lingerMost); now.Before(last); now = time.Now() {
		c.Conn.SetReadDeadline(now.Add(lingerIdle))
		if _, err := c.Conn.Read(unread[:]); err != nil {
			return
		}
	}
}

func (c *patientConn) end() error {
	err := c.Conn.Close()
	c.forgetHeader(true)
	c.place.leave()
	return err
}

func (c *patientConn) Read(p []byte) (int, error) {
	if c.refused {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	c.framing.follow(p[:n])
	c.owes.Store(c.framing.within())
	if !c.serving.Load() {
		if problem := c.refuseHeader(p[:n]); problem != nil {
			c.write(raw(problem))
			c.refused = true
			c.owes.Store(true)
			return 0, io.EOF
		}
	}
	return n, err
}

// forgetHeader gives back what the request's header took, and does so for good
// when the connection is closed.
func (c *patientConn) forgetHeader(closed bool) {
	if c.place != nil {
		c.meter.forget(&c.place.room.headers, closed)
	}
}

func (c *patientConn) Write(p []byte) (int, error) {
	if c.serving.Load() {
		return c.write(p)
	}
	if c.refused {
		return len(p), nil
	}
	if ours := refusal(p, c.framing.twofold); ours != nil {
		_, err := c.write(ours)
		return len(p), err
	}
	return c.write(p)
}

func (c *patientConn) write(p []byte) (int, error) {
	defer c.takes.done()
	for written := 0; ; {
		now := time.Now()
		c.takes.from(now)
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
func (c *patientConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
