package upstream

import (
	"context"
	"io"
	"net"
	"os"
	"syscall"
)

// How a connection that was kept is looked at
//
// The upstream may have closed an idle connection. A request that is written to it is lost, and
// nobody can tell whether it had an effect. So the connection is read before anything is
// written: where the upstream has closed it, there is an end to read.
//
// That costs no system call. To wait for the answer, a program reads, is told that there is
// nothing yet (EAGAIN), and sleeps until there is. Here the request is written when that
// first read says that there is nothing yet, and the wait goes on where it was.
//
// The read is made by TLS, for TLS 1.3 has records that are no data (session tickets; RFC 8446,
// section 4.6.1). A look at the socket alone would take them for an answer.
// TestTicketsAreNoAnswer holds this.

// A Waiter is told that a read is about to wait.
type Waiter interface {
	// BeforeWait is called by the goroutine that reads, within its call of Read. It must not read
	// the connection.
	BeforeWait()
}

// A watchedConn is a TCP connection that tells when a read has nothing to read yet.
type watchedConn struct {
	*net.TCPConn
	raw    syscall.RawConn
	waiter Waiter // is told once; nil when nobody is
	once   func(fd uintptr) bool

	// of the read that is under way
	p   []byte
	n   int
	err error
}

// watched returns a dialer whose TCP connections are watched.
func watched(dial Dialer) Dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		tcp, ok := c.(*net.TCPConn)
		if !ok {
			return c, nil
		}
		raw, err := tcp.SyscallConn()
		if err != nil {
			return c, nil
		}
		w := &watchedConn{TCPConn: tcp, raw: raw}
		w.once = w.readOnce
		return w, nil
	}
}

// Read implements io.Reader.
func (w *watchedConn) Read(p []byte) (int, error) {
	if w.waiter == nil || len(p) == 0 {
		return w.TCPConn.Read(p)
	}
	w.p, w.n, w.err = p, 0, nil
	err := w.raw.Read(w.once)
	w.p = nil
	if err != nil {
		return 0, err
	}
	return w.n, w.err
}

// readOnce reads the socket, and reports whether there was something to read.
func (w *watchedConn) readOnce(fd uintptr) bool {
	for {
		n, err := syscall.Read(int(fd), w.p)
		switch err {
		case nil:
			if w.n = n; n == 0 {
				w.err = io.EOF
			}
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			if told := w.waiter; told != nil {
				w.waiter = nil
				told.BeforeWait()
			}
			return false
		default:
			w.err = &net.OpError{
				Op:     "read",
				Net:    "tcp",
				Source: w.LocalAddr(),
				Addr:   w.RemoteAddr(),
				Err:    os.NewSyscallError("read", err),
			}
			return true
		}
	}
}

// ReadFrom and WriteTo of a net.TCPConn would read past Read.

// WriteTo implements io.WriterTo.
func (w *watchedConn) WriteTo(to io.Writer) (int64, error) {
	return io.Copy(to, struct{ io.Reader }{w})
}
