package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"ticketproxy/proxy/inbound"
)

// How the body of a request is sent, and sent again
//
// An app's body is read once, while it comes. A replayBody keeps what was read, up
// to replayLimit and within a budget for all requests, so that the request can be
// sent a second time from its first byte. Each sending reads through an attempt of
// its own. The first attempt reads from the app and records. When the API refuses
// the token, reserve makes the replayBody keep all that is read from now on, for
// as long as the next token is fetched. rewind then ends the first attempt and
// begins the second, which reads what was kept and then the rest from the app. When
// there is no second sending, release goes back to recording. close ends it all,
// and gives the budget back.
//
// Two attempts never read the app's body at the same time: both hold reading. A
// transport's goroutine may still read after the request is over; an attempt that
// has ended gives it an error.

// replayLimit bounds what is kept of one request's body, in bytes.
const replayLimit = 1 << 20

// replayBudget bounds what is kept of all requests' bodies, in bytes.
const replayBudget = 16 << 20

// NewReplayBudget returns what the request bodies that all handlers of the
// program keep at a time may take, in bytes.
func NewReplayBudget() *semaphore.Weighted { return semaphore.NewWeighted(replayBudget) }

// A replayBody is a request's body that can be sent twice.
type replayBody struct {
	source  io.ReadCloser // the app's; nil when there is no body
	state   *requestState
	current *attempt

	firstAttempt attempt

	length int64 // of source; -1 when it is not known

	reading sync.Mutex // held while source is read; guards what follows
	ended   bool       // source has ended, and may be closed
	// patience is the time left to send the next BodyChunk bytes, of which received
	// have arrived. It does not run while the upstream takes nothing.
	patience time.Duration
	received int
	total    atomic.Int64 // bytes that were read of source

	mu    sync.Mutex // guards what follows, and is never held while waiting
	kept  keptBody
	taken int // of the budget
	mode  replayMode
}

// A replayMode says what is done with bytes that are read from the app.
type replayMode int

const (
	modeRecord  replayMode = iota // keep them, within the limits
	modeReserve                   // keep them without limits: a second sending needs them
	modeForget                    // do not keep them
)

// newReplayBody returns x.replay for a request.
func newReplayBody(req *http.Request, x *requestState) *replayBody {
	b := &x.replay
	b.source, b.length = req.Body, req.ContentLength
	b.state, b.patience, b.kept.pool = x, inbound.BodyChunkTimeout, x.buffers
	if req.Body == http.NoBody {
		b.source = nil
	}
	if req.ContentLength > replayLimit {
		b.mode = modeForget
	}
	x.unread.Store(b.source != nil)
	return b
}

// first returns what the first sending reads; nil when there is no body.
func (b *replayBody) first() io.ReadCloser {
	if b.source == nil {
		return nil
	}
	b.firstAttempt.body, b.firstAttempt.recorded = b, true
	return b.begin(&b.firstAttempt)
}

// reserve reports whether a second sending would send identical bytes. If so, all
// that is read is kept for it. The first sending goes on until rewind, since its
// answer may yet be the app's.
func (b *replayBody) reserve() bool {
	if b.source == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mode == modeForget {
		return false
	}
	b.mode = modeReserve
	return true
}

// release undoes reserve: there is no second sending.
func (b *replayBody) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mode == modeReserve {
		b.mode = modeRecord
	}
}

// rewind ends the first sending, and returns what the second reads; nil when there
// is no body.
func (b *replayBody) rewind() io.ReadCloser {
	if b.source == nil {
		return nil
	}
	b.current.end() // its reader may still wait for the app: what it gets is kept
	return b.begin(&attempt{body: b})
}

func (b *replayBody) begin(a *attempt) *attempt {
	b.current = a
	return a
}

// close forgets what was kept, unless a second sending is reading it. A sending
// that failed ends; unless it waits for the app, net/http may then read the rest of
// the body, and keep the connection.
func (b *replayBody) close(failed bool) {
	if b.source == nil {
		return
	}
	if failed {
		b.current.end()
		if b.reading.TryLock() {
			b.state.unread.Store(false)
			b.reading.Unlock()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mode == modeRecord {
		b.mode = modeForget
		b.kept.forget()
	}
	b.state.budget.Release(int64(b.taken))
	b.taken = 0
}

// waitIdle returns when nobody reads the app's body. A nil body has no reader.
func (b *replayBody) waitIdle() {
	if b != nil {
		b.reading.Lock()
		defer b.reading.Unlock()
	}
}

// stop returns when nobody reads the app's body, and nobody will.
func (b *replayBody) stop() {
	b.current.end()
	b.waitIdle()
}

// keep remembers p as the mode demands.
func (b *replayBody) keep(p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.mode {
	case modeReserve:
		b.kept.add(p, b.length)
	case modeRecord:
		if b.kept.size+len(p) > replayLimit || !b.state.budget.TryAcquire(int64(len(p))) {
			b.state.budget.Release(int64(b.taken))
			b.mode, b.taken = modeForget, 0
			b.kept.forget()
			return
		}
		b.taken += len(p)
		b.kept.add(p, b.length)
	}
}

// keptFrom copies kept bytes from an offset on.
func (b *replayBody) keptFrom(p []byte, offset int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept.copyFrom(p, offset)
}

// readLocked reads the app's body. The caller holds reading.
func (b *replayBody) readLocked(p []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	x := b.state
	n, err := b.read(p)
	b.total.Add(int64(n))
	switch {
	case err == nil:
	case errors.Is(err, io.EOF): // with which net/http lifts the deadline
		b.ended = true
		x.unread.Store(false)
	default: // the deadline stays, since net/http will look for the body's end
		x.broken.Store(true)
		var network net.Error
		switch {
		case errors.As(err, &network):
			x.stalled.Store(network.Timeout())
		case !errors.Is(err, io.ErrUnexpectedEOF):
			x.malformed.Store(true)
		}
	}
	return n, err
}

// read reads under a deadline of its own, unless all has come: net/http's would cover the whole
// body, and cut long uploads.
func (b *replayBody) read(p []byte) (int, error) {
	x := b.state
	if x.conn.Arrived() {
		return b.source.Read(p)
	}
	began := time.Now()
	x.setReadDeadline(began.Add(b.patience))
	x.conn.BodyDue(began.Add(b.patience - inbound.BodyChunkTimeout))
	n, err := b.source.Read(p)
	x.conn.BodyDone()
	b.patience -= time.Since(began)
	if b.received += n; b.received >= inbound.BodyChunk {
		b.received, b.patience = 0, inbound.BodyChunkTimeout
	}
	return n, err
}

// An attempt is the body of one sending. It reads what is kept, then the app's.
type attempt struct {
	body     *replayBody
	recorded bool // what it reads is kept for a second sending
	offset   int  // in what is kept
	ended    atomic.Bool
}

var errAttemptEnded = errors.New("attempt has ended")

// Whole implements upstream.Whole.
func (a *attempt) Whole() bool {
	b := a.body
	if b.state.conn.Arrived() {
		return true
	}
	if a.recorded || !b.reading.TryLock() {
		return false
	}
	defer b.reading.Unlock()
	return b.ended // and all of it is kept
}

// Read implements io.Reader.
func (a *attempt) Read(p []byte) (int, error) {
	b := a.body
	b.reading.Lock()
	defer b.reading.Unlock()
	if a.ended.Load() {
		return 0, errAttemptEnded
	}
	if !a.recorded {
		if n := b.keptFrom(p, a.offset); n > 0 {
			a.offset += n
			return n, nil
		}
		return b.readLocked(p)
	}
	n, err := b.readLocked(p)
	b.keep(p[:n])
	return n, err
}

// Close implements io.Closer.
func (a *attempt) Close() error {
	a.end()
	return nil
}

// end gives later readers an error.
func (a *attempt) end() { a.ended.Store(true) }
