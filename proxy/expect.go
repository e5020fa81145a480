package proxy

import (
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
)

// An expectation is that an app will be told whether its body is wanted (RFC
// 9110, section 10.1.1), in one sending of its request. Where the upstream
// answers at once, net/http sends the body all the same, to keep the connection,
// and with that would ask the app for it: it is kept waiting until that sending
// is over.
type expectation struct {
	mu       sync.Mutex
	changed  sync.Cond
	answered bool // the upstream has begun to say something, which was not (yet) interim
	wanted   bool // the body, before it was answered
	over     bool
}

func newExpectation() *expectation {
	e := new(expectation)
	e.changed.L = &e.mu
	return e
}

// trace follows what the upstream says.
func (e *expectation) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotFirstResponseByte: func() { e.note(&e.answered, true) },
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			e.note(&e.answered, false)
			return nil
		},
	}
}

func (e *expectation) note(fact *bool, is bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	*fact = is
	e.changed.Broadcast()
}

// asked returns once the app may be asked for its body; false when it may not.
// A nil expectation is none.
func (e *expectation) asked() bool {
	if e == nil {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.answered && !e.wanted && !e.over {
		e.changed.Wait()
	}
	e.wanted = e.wanted || !e.over
	return !e.over
}

// expect returns the request with which the upstream's answer to an expectation
// is followed, if there is one.
func (x *exchange) expect(req *http.Request) *http.Request {
	a, ok := req.Body.(*attempt)
	if !ok || a.expectation == nil {
		return req
	}
	x.expectation = a.expectation
	return req.WithContext(httptrace.WithClientTrace(req.Context(), a.expectation.trace()))
}

// end is called when the sending is over. It may be called again.
func (e *expectation) end() {
	if e != nil {
		e.note(&e.over, true)
	}
}
