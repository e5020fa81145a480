package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"ticketproxy/proxy/inbound"

	"golang.org/x/sync/semaphore"
)

// replayLimit bounds what is kept of one request's body, in bytes.
const replayLimit = 1 << 20

// NewReplayBudget returns what the request bodies that all handlers of the
// program keep at a time may take, in bytes.
func NewReplayBudget() *semaphore.Weighted { return semaphore.NewWeighted(replayBudget) }

const replayBudget = 16 << 20

// A replay is a request's body that remembers what was read of it, so that it
// can be sent a second time, from its first byte, while the rest still streams
// in. It gives up remembering past replayLimit, or when the replay budget is
// spent.
type replay struct {
	source  io.ReadCloser // the app's; nil when there is no body
	expects bool          // to be asked for it
	x       *exchange
	current *attempt

	reading sync.Mutex // held while reading source
	whole   bool       // source has ended, and may be closed
	// How long the app may still take for the next inbound.BodyLeast bytes, of which
	// it has sent got. The time in which the upstream takes nothing is not its.
	patience time.Duration
	got      int

	mu    sync.Mutex // guards what follows, and is never held while waiting
	kept  []byte
	taken int // of the budget
	stage stage
}

// A stage says what is done with bytes that are read from the app.
type stage int

const (
	recording stage = iota // keep them, within the limits
	replaying              // keep them, whatever it takes: another attempt will need them
	forgotten              // do not keep them
)

func newReplay(req *http.Request, x *exchange) *replay {
	r := &replay{source: req.Body, expects: req.Header["Expect"] != nil, x: x, patience: inbound.BodyIdle}
	if req.Body == http.NoBody {
		r.source = nil
	}
	if req.ContentLength > replayLimit {
		r.stage = forgotten
	}
	x.unread.Store(r.source != nil)
	return r
}

// body returns what the first sending reads.
func (r *replay) body() io.ReadCloser {
	if r.source == nil {
		return nil
	}
	return r.begin(&attempt{replay: r, recorded: true})
}

// rewind reports whether a second sending would send identical bytes; if so, all
// that is read is kept for it. The first goes on until then: its answer may yet
// be the app's.
func (r *replay) rewind() bool {
	if r.source == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stage == forgotten {
		return false
	}
	r.stage = replaying
	return true
}

// abstain undoes rewind: there is no second sending.
func (r *replay) abstain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stage == replaying {
		r.stage = recording
	}
}

// again ends the first sending, and returns what the second reads.
func (r *replay) again() io.ReadCloser {
	if r.source == nil {
		return nil
	}
	r.current.end() // its reader may still wait for the app: what it gets is kept
	return r.begin(&attempt{replay: r})
}

func (r *replay) begin(a *attempt) *attempt {
	if r.expects {
		a.expectation = newExpectation()
	}
	r.current = a
	return a
}

// settle forgets what was kept, unless a second attempt is reading it. If that
// attempt failed it is ended; unless it waits for the app, the rest of the body
// is then the server's, which can keep the connection.
func (r *replay) settle(failed bool) {
	if r.source == nil {
		return
	}
	if failed {
		r.current.end()
		if r.reading.TryLock() {
			r.x.unread.Store(false)
			r.reading.Unlock()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stage == recording {
		r.stage, r.kept = forgotten, nil
	}
	r.x.budget.Release(int64(r.taken))
	r.taken = 0
}

// rest returns when nobody reads the app's body.
func (r *replay) rest() {
	if r != nil {
		r.reading.Lock()
		defer r.reading.Unlock()
	}
}

// keep remembers b as the stage demands.
func (r *replay) keep(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.stage {
	case replaying:
		r.kept = append(r.kept, b...)
	case recording:
		if len(r.kept)+len(b) > replayLimit || !r.x.budget.TryAcquire(int64(len(b))) {
			r.x.budget.Release(int64(r.taken))
			r.stage, r.kept, r.taken = forgotten, nil, 0
			return
		}
		r.taken += len(b)
		r.kept = append(r.kept, b...)
	}
}

// keptFrom copies kept bytes from off on.
func (r *replay) keptFrom(p []byte, off int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if off >= len(r.kept) {
		return 0
	}
	return copy(p, r.kept[off:])
}

// read reads the app's body under a deadline of its own, for the server has
// none that would not cut a long upload. r.reading is held.
func (r *replay) read(p []byte) (int, error) {
	if r.whole {
		return 0, io.EOF
	}
	began := time.Now()
	r.x.readBy(began.Add(r.patience))
	r.x.conn.BodyDue(began.Add(r.patience - inbound.BodyIdle))
	n, err := r.source.Read(p)
	r.x.conn.BodyDone()
	r.patience -= time.Since(began)
	if r.got += n; r.got >= inbound.BodyLeast {
		r.got, r.patience = 0, inbound.BodyIdle
	}
	switch err {
	case nil:
	case io.EOF: // with which the server lifts the deadline
		r.whole = true
		r.x.unread.Store(false)
	default: // the deadline stays, for the server will look for the body's end
		r.x.broken.Store(true)
		var network net.Error
		switch {
		case errors.As(err, &network):
			r.x.stalled.Store(network.Timeout())
		case !errors.Is(err, io.ErrUnexpectedEOF):
			r.x.malformed.Store(true)
		}
	}
	return n, err
}

// An attempt reads the body for one sending: first what is kept, then the
// app's.
type attempt struct {
	replay   *replay
	recorded bool // what it reads is kept for another
	off      int
	ended    atomic.Bool

	expectation *expectation // nil when there is none
}

var errAttemptEnded = errors.New("attempt has ended")

func (a *attempt) Read(p []byte) (int, error) {
	r := a.replay
	r.x.sent.Store(true)
	asked := a.expectation.asked()
	r.reading.Lock()
	defer r.reading.Unlock()
	if !asked || a.ended.Load() {
		return 0, errAttemptEnded
	}
	if !a.recorded {
		if n := r.keptFrom(p, a.off); n > 0 {
			a.off += n
			return n, nil
		}
		return r.read(p)
	}
	n, err := r.read(p)
	r.keep(p[:n])
	return n, err
}

func (a *attempt) Close() error {
	a.end()
	return nil
}

// end has readers get nothing more.
func (a *attempt) end() {
	a.ended.Store(true)
	a.expectation.end()
}
