package inbound

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// watchDelay is how long a request is served at least before its connection is watched. A request
// that takes twice as long is always watched.
const watchDelay = 25 * time.Millisecond

// A watch notices that an app closes its connection while its request is served, and ends the
// connection's context. net/http starts a read of one byte for that as soon as a request has
// arrived, and interrupts it when the request has been answered. That costs two switches of
// goroutines and two deadlines, and few requests take long enough for an app to give up. So
// that read returns at once, with nothing, and the connection is read only when the same request
// is still served later. The read is not interrupted: what it returns is the beginning of
// what net/http reads next.
type watch struct {
	mu      sync.Mutex
	gone    context.CancelFunc // of the connection's context
	timer   *time.Timer        // nil before the first request
	armed   bool               // the timer is
	wanted  bool               // net/http waits for the app to close
	waited  bool               // since the timer fired last, or longer
	pending *pendingRead       // nil without one
}

// A pendingRead is a read of one byte. Its other fields are set when done is closed.
type pendingRead struct {
	done chan struct{}
	byte [1]byte
	n    int
	err  error
}

// want notes that net/http waits for the app to close the connection, until next is called. A read
// that has begun goes on: net/http had all of the next request already, and did not call next.
func (c *Conn) want() {
	w := &c.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending != nil {
		return
	}
	w.wanted, w.waited = true, false
	if w.armed {
		return
	}
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(watchDelay, c.look)
	} else {
		w.timer.Reset(watchDelay)
	}
}

// look begins the read, if the request was served already when it was called last.
func (c *Conn) look() {
	w := &c.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	switch {
	case !w.wanted:
	case !w.waited:
		w.armed, w.waited = true, true
		w.timer.Reset(watchDelay)
	default:
		w.wanted = false
		w.pending = &pendingRead{done: make(chan struct{})}
		go c.readPending(w.pending)
	}
}

func (c *Conn) readPending(r *pendingRead) {
	r.n, r.err = c.Conn.Read(r.byte[:])
	switch {
	case r.err == nil:
	case r.ended():
		c.watch.forget(r)
	default:
		c.watch.gone()
	}
	close(r.done)
}

// ended reports whether a deadline ended the read. It was for another one.
func (r *pendingRead) ended() bool { return r.n == 0 && errors.Is(r.err, os.ErrDeadlineExceeded) }

// forget has the connection watched again when that is wanted.
func (w *watch) forget(r *pendingRead) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending == r {
		w.pending = nil
	}
}

// next reads for net/http, which does not wait for the app to close any more.
func (c *Conn) next(p []byte) (int, error) {
	w := &c.watch
	w.mu.Lock()
	r := w.pending
	w.wanted, w.pending = false, nil
	w.mu.Unlock()
	if r == nil || len(p) == 0 {
		return c.Conn.Read(p)
	}
	if <-r.done; r.ended() {
		return c.Conn.Read(p)
	}
	return copy(p, r.byte[:r.n]), r.err
}

// end ends the watch of a connection that is closed.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wanted = false
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.gone != nil {
		w.gone()
	}
}
