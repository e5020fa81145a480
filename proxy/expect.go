package proxy

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"
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

// expected is a body that an app sends when it is asked for it, which the server
// does when it is first read.
type expected struct {
	io.ReadCloser

	mu    sync.Mutex
	stage asking
}

// asking is how far an app has been asked for its body.
type asking int

const (
	unasked asking = iota
	beingAsked
	wasAsked
)

func (e *expected) Read(p []byte) (int, error) {
	e.reach(beingAsked)
	defer e.reach(wasAsked)
	return e.ReadCloser.Read(p)
}

func (e *expected) reach(stage asking) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stage = max(e.stage, stage)
}

// speak has an interim answer be written, but not at the same time as the
// server's own 100, for it would come in between: what comes until the app has
// sent the first of its body is dropped. On a nil body there is no 100.
func (e *expected) speak(write func()) {
	if e == nil {
		write()
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stage != beingAsked {
		write()
	}
}

// unaskedIdle is how long an app may take to send the body that it was not asked
// for: it may have begun before it was answered.
const unaskedIdle = time.Second

// forgo keeps the server from waiting long for a body that nobody asked for.
func (e *expected) forgo(control *http.ResponseController) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stage == unasked {
		control.SetReadDeadline(time.Now().Add(unaskedIdle))
	}
}
