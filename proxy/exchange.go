package proxy

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"ticketproxy/proxy/inbound"
	"ticketproxy/secret"
)

// An exchange is what is known of one request while it is served. Its request
// goroutine writes it, but for the atomics.
type exchange struct {
	began       time.Time
	upstream    time.Duration // spent waiting for the upstream's answers
	overhead    time.Duration
	status      int
	token       secret.String       // that was sent
	budget      *semaphore.Weighted // for bodies that may be sent again
	body        *replay             // nil before there is a token
	expectation *expectation        // of the last sending; nil when there is none
	host        string              // by which the app calls us
	browser     bool                // a web page asked
	origin      string              // of that page, when it is an allowed one
	header      http.Header         // of the answer to the app
	last        bool                // the connection closes after it
	conn        *inbound.Conn
	control     *http.ResponseController
	unread      atomic.Bool // the app's body has not ended, and the upstream's transport may be reading it
	broken      atomic.Bool // the app's body could not be read
	stalled     atomic.Bool // for it came too slowly
	malformed   atomic.Bool // for it is not framed as HTTP has it
	sent        atomic.Bool // the request's header was written
	dialed      atomic.Bool // a connection was made for it
	answer      answerMeter
	awaited     *answerConn // on which the answer is to come; nil while none is awaited

	mu   sync.Mutex
	over bool // the connection may be another request's
}

type exchangeKey struct{}

func withExchange(ctx context.Context, x *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

func exchangeOf(ctx context.Context) *exchange {
	return ctx.Value(exchangeKey{}).(*exchange)
}

// readBy sets when a read of the app's body times out. The transport may still
// read when the request is over.
func (x *exchange) readBy(t time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.over {
		x.control.SetReadDeadline(t)
	}
}

func (x *exchange) end() {
	x.expectation.end()
	x.answer.close()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
}

// answered notes the status that the app gets, when it gets it. An answer that
// begins before the app's body has ended closes the connection: to keep it, the
// server would eat the rest of the body first. The app is to leave a draining
// server, too.
func (x *exchange) answered(status int) {
	if (x.last || x.unread.Load() || x.conn.Draining()) && status != http.StatusSwitchingProtocols {
		x.header.Set("Connection", "close")
	}
	x.status = status
	x.overhead = time.Since(x.began) - x.upstream
}

func (x *exchange) summary(method string) Exchange {
	e := Exchange{Method: method, Status: x.status, Took: time.Since(x.began), Overhead: x.overhead}
	if e.Status == 0 {
		e.Status, e.Overhead = statusClientLeft, max(e.Took-x.upstream, 0)
	}
	return e
}
