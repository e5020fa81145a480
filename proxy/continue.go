package proxy

import (
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
)

// How Expect: 100-continue goes through (RFC 9110, section 10.1.1)
//
// An app that sends Expect waits for a 100 before it sends its body. net/http's
// server says 100 when the body is first read, so the body must not be read before
// the upstream wants it. net/http's transport (Go 1.26) reads it when the upstream
// says 100, and when the upstream says nothing for a second. But when the upstream
// answers at once, the transport sends the body all the same, to keep the
// connection. An upstreamExpect stops that: mayRead waits while there is an answer,
// until the sending is over. TestBodyThatIsRefusedIsNotAskedFor holds this.
//
// The server's own 100 must not mix with an interim answer of the upstream:
// inbound.ExpectedBody sees to that.

// An upstreamExpect is what the upstream has said to one sending of a request with
// Expect. The methods of a nil one do nothing.
type upstreamExpect struct {
	mu       sync.Mutex
	changed  sync.Cond
	answered bool // the upstream has begun to say something that is not (yet) interim
	reading  bool // the body was read before it answered
	over     bool
}

func newUpstreamExpect() *upstreamExpect {
	e := new(upstreamExpect)
	e.changed.L = &e.mu
	return e
}

// trace follows what the upstream says.
func (e *upstreamExpect) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotFirstResponseByte: func() { e.set(&e.answered, true) },
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			e.set(&e.answered, false)
			return nil
		},
	}
}

func (e *upstreamExpect) set(fact *bool, is bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	*fact = is
	e.changed.Broadcast()
}

// mayRead waits until the app's body may be read, and returns true; or until the
// sending is over, and returns false.
func (e *upstreamExpect) mayRead() bool {
	if e == nil {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.answered && !e.reading && !e.over {
		e.changed.Wait()
	}
	e.reading = e.reading || !e.over
	return !e.over
}

// end is called when the sending is over. It may be called again.
func (e *upstreamExpect) end() {
	if e != nil {
		e.set(&e.over, true)
	}
}

// traceExpect returns the request with which the upstream's answer to an Expect is
// followed, if there is one.
func (x *requestState) traceExpect(req *http.Request) *http.Request {
	a, ok := req.Body.(*attempt)
	if !ok || a.expect == nil {
		return req
	}
	x.expect = a.expect
	return req.WithContext(httptrace.WithClientTrace(req.Context(), a.expect.trace()))
}
