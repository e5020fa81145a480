package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"

	"ticketproxy/proxy/inbound"
)

// A Recorder keeps a record of each request, also of those that are refused. Safe for
// concurrent use.
type Recorder interface {
	// Begin is called before anything is done for a request. It returns what is called with the
	// record when the request is over, or the answer for a request that cannot be recorded.
	Begin(r *http.Request) (end func(Record), _ *inbound.Problem)
}

// A Record is what became of one request.
type Record struct {
	Caller     inbound.Caller // zero when nobody was asked, or nobody was proved
	Upstream   string         // empty when none was found
	Account    string
	Generation uint64 // of the token that was sent; 0 when none was
	Method     string
	Path       string // as the app sent it, percent-encoded, without its query
	Status     int    // of the answer; 499 when the app left, or was cut off, before it
	Code       string // of Ticketproxy-Error; empty when the answer is the API's
	Reason     string // why it was refused or cut off; empty when it was not
	Received   int64  // bytes of the request's body that were read, and of an upgraded connection
	Sent       int64  // bytes of the answer's body, or to an upgraded connection
	Began      time.Time
	Took       time.Duration
}

// A recording collects the record of a request while it is served. A nil recording collects
// nothing.
type recording struct {
	http.ResponseWriter
	Record
}

// record serves a request by serve, and hands its record on.
func (h *Handler) record(w http.ResponseWriter, r *http.Request) {
	end, p := h.Recorder.Begin(r)
	if p != nil {
		p.Answer(w)
		return
	}
	x := &recording{ResponseWriter: w, Record: Record{Method: r.Method, Path: pathOf(r), Began: time.Now()}}
	defer func() {
		x.Took = time.Since(x.Began)
		if x.Status == 0 {
			x.Status = statusClientLeft
		}
		end(x.Record)
	}()
	h.serve(x, r, x)
}

// WriteHeader implements http.ResponseWriter.
func (x *recording) WriteHeader(status int) {
	if x.Status == 0 && (status/100 != 1 || status == http.StatusSwitchingProtocols) {
		x.Status = status
		if code := x.Header()[inbound.ErrorHeader]; len(code) > 0 {
			x.Code = code[0]
		}
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (x *recording) Write(p []byte) (int, error) {
	if x.Status == 0 {
		x.Status = http.StatusOK
	}
	n, err := x.ResponseWriter.Write(p)
	x.Sent += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (x *recording) Unwrap() http.ResponseWriter { return x.ResponseWriter }

func (x *recording) proved(c inbound.Caller) {
	if x != nil {
		x.Caller = c
	}
}

func (x *recording) received(n int64) {
	if x != nil {
		x.Received = n
	}
}

func (x *recording) routed(u *forwarder) {
	if x != nil && u != nil {
		x.Upstream, x.Account = u.Name, u.Account
	}
}

// ended notes what became of an exchange, whose context is ctx.
func (x *recording) ended(ctx context.Context, s *requestState) {
	if x == nil {
		return
	}
	x.Generation, x.Reason = s.token.Generation, s.reason
	if s.body != nil {
		x.Received = s.body.total.Load()
	}
	if c := s.upgraded; c != nil { // on which ReverseProxy has written the answer
		x.Status = http.StatusSwitchingProtocols
		x.Received += c.received.Load()
		x.Sent = c.sent.Load()
	}
	if cut, ok := errors.AsType[inbound.Cut](context.Cause(ctx)); ok {
		x.Reason = cut.Error()
	}
}
