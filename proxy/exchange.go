package proxy

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// An exchange is what is known of one request while it is served. Its request
// goroutine writes it, but for the atomics.
type exchange struct {
	began    time.Time
	upstream time.Duration // spent waiting for the upstream's answers
	overhead time.Duration
	status   int
	budget   *budget
	control  *http.ResponseController
	broken   atomic.Bool // the app's body could not be read
}

type exchangeKey struct{}

func withExchange(ctx context.Context, x *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

func exchangeOf(ctx context.Context) *exchange {
	return ctx.Value(exchangeKey{}).(*exchange)
}

// answered notes the status that the app gets, when it gets it.
func (x *exchange) answered(status int) {
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
