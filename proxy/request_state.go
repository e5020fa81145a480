package proxy

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"ticketproxy/proxy/inbound"
)

// A requestState is what is known of one request while it is served. It is found by
// the request's context, from [forwarder] through ReverseProxy to the transport and
// back. The goroutine that serves the request writes it, but for the atomics. All that
// a request needs is in it, so that it is one allocation.
type requestState struct {
	incoming
	timing
	bodyState

	header   http.Header   // of the answer to the app
	status   int           // of that answer; 0 before there is one
	reason   string        // why there is none of the API's; for the record
	closing  bool          // the connection closes after it
	token    Token         // that was sent
	trailed  trailedBody   // of the answer, when its length is not known
	upgraded *upgradedConn // after an answer of 101; else nil
	writer   interimWriter
}

// incoming is how the request came. It does not change.
type incoming struct {
	host    string        // by which the app calls us
	scheme  string        // of that call: http or https
	browser bool          // a web page asks
	origin  string        // of that page, when it is an allowed one
	conn    *inbound.Conn // on which the request came
	caller  string        // who sent it, by the name in CALLERS_FILE; empty where nobody is asked
	gate    Gate          // that the caller passed; nil where nobody is asked
}

// timing is what an Observer is told.
type timing struct {
	began    time.Time
	upstream time.Duration // spent waiting for the upstream's answers
	overhead time.Duration
}

// bodyState is what is known of the app's body. The upstream's transport may read
// the body in a goroutine of its own, also after the request is over.
type bodyState struct {
	budget    *semaphore.Weighted // for bodies that are kept
	buffers   *bufferPool         // for the same
	body      *replayBody         // nil before there is a token; then replay
	replay    replayBody
	control   http.ResponseController
	unread    atomic.Bool // it has not ended, and the transport may be reading it
	broken    atomic.Bool // it could not be read
	stalled   atomic.Bool // it came too slowly
	malformed atomic.Bool // its framing is not HTTP's

	mu   sync.Mutex
	over bool // the connection may serve another request
}

type stateKey struct{}

func withState(ctx context.Context, x *requestState) context.Context {
	return context.WithValue(ctx, stateKey{}, x)
}

func stateOf(ctx context.Context) *requestState {
	if x, ok := inbound.ConnOf(ctx).Attached().(*requestState); ok {
		return x
	}
	return ctx.Value(stateKey{}).(*requestState)
}

// serving returns the request to serve: stateOf finds x by its context. A connection serves one
// request at a time, so it keeps x where there is one. That costs nothing, and a context of its own
// would cost a copy of the request.
func (x *requestState) serving(r *http.Request, ctx context.Context) *http.Request {
	switch {
	case !x.conn.Attach(x):
		return r.WithContext(withState(ctx, x))
	case ctx != r.Context():
		return r.WithContext(ctx)
	}
	return r
}

// setReadDeadline sets when a read of the app's body times out, unless the request
// is over.
func (b *bodyState) setReadDeadline(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.control.SetReadDeadline(t)
	}
}

// end is called when the request is over. Afterwards nobody reads the app's body:
// net/http (Go 1.26) waits without end for a connection on which a body ends while
// its handler returns. TestUpstreamDiesWithinItsAnswerDuringAnUpload holds this.
func (x *requestState) end() {
	x.conn.Attach(nil)
	x.mu.Lock()
	x.over = true
	x.mu.Unlock()
	if x.unread.Load() { // so the connection is not used again
		x.control.SetReadDeadline(time.Unix(1, 0))
		x.body.stop()
	}
}

// answered notes the status of the answer to the app, when it begins. An answer
// that begins before the app's body has ended closes the connection: to keep it,
// net/http would read the rest of the body first. The connection of a draining
// server closes, too.
func (x *requestState) answered(status int) {
	if (x.closing || x.unread.Load() || x.conn.Draining()) && status != http.StatusSwitchingProtocols {
		x.header.Set("Connection", "close")
	}
	x.status = status
	x.overhead = time.Since(x.began) - x.upstream
}

func (x *requestState) summary(method string) Exchange {
	e := Exchange{Method: method, Status: x.status, Caller: x.caller, Took: time.Since(x.began), Overhead: x.overhead}
	if e.Status == 0 {
		e.Status, e.Overhead = statusClientLeft, max(e.Took-x.upstream, 0)
	}
	return e
}
