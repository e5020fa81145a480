package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// joinLimit is the most that is written before anything is read, in bytes: an idle
	// connection's buffers take it, so the write does not wait for the upstream.
	joinLimit = 16 << 10
	// lateAnswer is how long an answer is waited for when the request could not be written to
	// its end: an upstream that refuses a request may close the connection after its answer.
	lateAnswer = time.Second
	// lateBody is how long the rest of a request may take to be written when its answer is
	// complete.
	lateBody = time.Second
)

// errStale is the end of an exchange for which nothing was written: the upstream had closed
// the connection, or sent what nobody asked for.
var errStale = errors.New("the idle connection is of no use")

// An exchange is one request and its answer on one connection.
//
// The goroutine that called RoundTrip receives, and it sends a request that is whole in memory.
// Any other request is sent by a goroutine of its own, while the answer may come. The one that
// ends last gives the connection back, or closes it.
type exchange struct {
	transport *Transport
	req       *http.Request
	ctx       context.Context
	memory    reservation

	// head is the request's header, or all of the request; body is what remains to be sent
	// after it, or nil.
	head   []byte
	from   *[]byte // that head is returned to
	body   io.ReadCloser
	length int64 // of body; -1 is chunked

	conn    *conn
	stop    func() bool // unhooks the cancellation
	begun   bool        // something may have been written
	expects bool        // the body is sent when the upstream asks for it (see expect.go)
	closed  atomic.Bool // the request's body

	parts  atomic.Int32 // the goroutines that use the connection
	spoilt atomic.Bool  // it serves no other request

	mu       sync.Mutex
	headSent bool
	asked    bool  // the body that waited is sent
	heard    bool  // while the body waits, an answer has begun that may ask for it
	answered bool  // the answer's header was read
	failed   error // why the request could not be written

	res    http.Response
	answer answerBody
}

// run makes the exchange, up to the end of the answer's header. It returns errStale when nothing
// was written and another connection may be tried.
func (x *exchange) run(c *conn) error {
	x.conn = c
	x.spoilt.Store(false)
	x.parts.Store(1)
	x.stop = context.AfterFunc(x.ctx, func() { c.interrupt(x.ctx.Err()) })
	err := x.begin()
	if err == nil {
		err = x.receive()
	}
	if err == nil {
		return nil
	}
	x.memory.release()
	x.giveUp(err)
	left := x.ctx.Err()
	if !x.begun && left == nil {
		return errStale
	}
	x.closeBody()
	if left != nil {
		return left
	}
	return err
}

// begin has the request written: at once on a new connection, and on one that was kept when a
// read shows that it is open (see watch.go).
func (x *exchange) begin() error {
	c := x.conn
	switch {
	case !c.reused:
		x.write()
	case c.watch != nil:
		c.watch.waiter = x
	case !c.open():
		return errStale
	default:
		x.write()
	}
	return nil
}

// BeforeWait implements Waiter: the connection is open.
func (x *exchange) BeforeWait() { x.write() }

// write begins to write the request.
func (x *exchange) write() {
	x.begun = true
	x.parts.Add(1)
	if len(x.head) > joinLimit || x.conn.watch == nil { // which may wait until the upstream reads
		go x.sendHead()
		return
	}
	x.sendHead()
}

// sendHead writes the header, and has the body sent after it unless that waits for the upstream.
func (x *exchange) sendHead() {
	_, err := x.conn.Conn.Write(x.head)
	x.freeHead()
	x.mu.Lock()
	x.headSent = err == nil
	waits := x.waitsLocked()
	x.mu.Unlock()
	if err != nil || x.body == nil || waits {
		x.sent(err, !waits)
		return
	}
	go x.sendBody()
}

func (x *exchange) sendBody() {
	err := x.copyBody()
	x.closeBody()
	x.sent(err, true)
}

// sent is called when the request was written, or could not be; whole is false when its body
// waits. It bounds the wait for the answer.
func (x *exchange) sent(err error, whole bool) {
	if broken, ok := errors.AsType[bodyError](err); ok {
		x.conn.interrupt(broken.error)
	}
	if err != nil {
		x.closeBody()
	}
	x.mu.Lock()
	switch {
	case x.answered:
	case err != nil:
		x.failed = err
		x.wait(lateAnswer)
	case !whole && x.asked:
	case whole || x.heard:
		x.wait(x.transport.timeout)
	default:
		x.wait(expectTimeout)
	}
	x.mu.Unlock()
	x.done(err == nil)
}

// wait bounds the wait for the answer from now on. There is no bound when it is 0.
func (x *exchange) wait(bound time.Duration) {
	if bound == 0 {
		x.conn.waitUntil(time.Time{})
		return
	}
	x.conn.waitUntil(time.Now().Add(bound))
}

func (x *exchange) closeBody() {
	if !x.closed.Swap(true) {
		closeBody(x.req)
	}
}

// headerRead is called when the answer's header was read.
func (x *exchange) headerRead() {
	x.mu.Lock()
	x.answered = true
	x.conn.keep = keepTime(x.res.Header)
	x.conn.waitUntil(time.Time{})
	refused := x.waitsLocked()
	x.mu.Unlock()
	if refused {
		x.spoilt.Store(true)
		x.closeBody()
	}
}

// failure returns the error of an exchange whose answer cannot be read because of err.
func (x *exchange) failure(err error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.failed != nil && errors.Is(err, timeoutError{}) {
		return x.failed
	}
	return err
}

// giveUp ends an exchange whose answer was not read to its end.
func (x *exchange) giveUp(err error) {
	x.conn.interrupt(err)
	x.done(false)
}

// done is called once by each goroutine that uses the connection, when it has ended. It is clean
// when the connection may serve another request as far as that goroutine is concerned.
func (x *exchange) done(clean bool) {
	if !clean {
		x.spoilt.Store(true)
	}
	if x.parts.Add(-1) > 0 {
		return
	}
	c := x.conn
	if !x.stop() || x.spoilt.Load() {
		go c.Close() // TLS writes its last record, which may wait until the upstream reads
		return
	}
	if x.answer.hurried {
		c.SetWriteDeadline(time.Time{})
	}
	c.reused = true
	c.pool.put(c)
}

// open reports whether the upstream has not closed a connection that is no socket. A read whose
// time is over reports an end, and otherwise waits for nothing.
func (c *conn) open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armLocked(time.Unix(1, 0))
	var one [1]byte
	n, err := c.Conn.Read(one[:])
	c.armLocked(time.Time{})
	if c.err != nil {
		c.Conn.SetDeadline(time.Unix(1, 0))
	}
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}
