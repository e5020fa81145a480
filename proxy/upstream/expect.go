package upstream

import (
	"errors"
	"time"
)

// How Expect: 100-continue goes out (RFC 9110, section 10.1.1)
//
// An app that sends Expect waits for a 100 before it sends its body, and net/http's server
// (Go 1.26) says 100 when the body is first read. So the body is not read before the upstream
// has said 100, or nothing for expectTimeout: some ignore the field. An upstream that gives its
// answer instead gets no body, and the connection closes, since the upstream may expect one.

// expectTimeout is how long an upstream may say nothing before the body is sent all the same.
const expectTimeout = time.Second

// waitsLocked reports whether the body waits until the upstream asks for it. The caller holds x.mu.
func (x *exchange) waitsLocked() bool { return x.body != nil && x.expects && !x.asked }

// sendWaiting sends the body if it waits, and reports whether it does.
func (x *exchange) sendWaiting() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.waitsLocked() {
		return false
	}
	x.asked = true
	x.conn.waitUntil(time.Time{})
	if x.headSent { // otherwise, the body goes out after it
		x.parts.Add(1)
		go x.sendBody()
	}
	return true
}

// hear is called when an answer begins, and when it was one that says nothing of the body. The rest
// of an answer that has begun may take longer than expectTimeout.
func (x *exchange) hear(begun bool) {
	if !x.expects {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.heard = begun
	switch {
	case !x.waitsLocked() || !x.headSent:
	case begun:
		x.wait(x.transport.timeout)
	default:
		x.wait(expectTimeout)
	}
}

// firstByte waits for the answer's first byte. One that comes before anything was written is of no
// answer: some upstreams send a 408 before they close an idle connection, or a body after an answer
// to HEAD.
func (x *exchange) firstByte() error {
	for {
		_, err := x.conn.r.Peek(1)
		switch {
		case err == nil && !x.begun:
			return errStale
		case err == nil:
			x.hear(true)
			return nil
		case !errors.Is(err, timeoutError{}) || !x.sendWaiting():
			return err
		}
	}
}
