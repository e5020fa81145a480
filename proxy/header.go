package proxy

import (
	"bytes"
	"net/http"
	"sync"
	"time"
)

// What a request's header takes of memory, in bytes: each of its own is kept
// twice, and each of its lines as a list of values.
const (
	byteTakes  = 2
	lineTakes  = 100
	headerFree = 32 << 10 // of each, which is counted with its connection
	headerMost = 4 << 20  // of one
)

// A meter bounds what the headers of a connection's requests take.
type meter struct {
	mu     sync.Mutex
	takes  int
	taken  int // of the budget
	closed bool
}

// add notes some more of a header, and reports whether it is not too long.
func (m *meter) add(p []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takes += byteTakes*len(p) + lineTakes*bytes.Count(p, []byte("\n"))
	return m.takes <= headerMost
}

// afford reports whether the budget has enough for what was added.
func (m *meter) afford(all *budget) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	more := m.takes - headerFree - m.taken
	if more <= 0 || m.closed {
		return true
	}
	if !all.take(more) {
		return false
	}
	m.taken += more
	return true
}

// long reports whether the header takes some of the budget.
func (m *meter) long() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.taken > 0
}

// forget is called when a request is over, or for good when the connection is.
func (m *meter) forget(all *budget, closed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all.give(m.taken)
	m.takes, m.taken, m.closed = 0, 0, m.closed || closed
}

// refuseHeader notes some more of a header, and returns what to say when it
// cannot be kept; nil when it can.
func (c *patientConn) refuseHeader(p []byte) *Problem {
	if !c.meter.add(p) {
		return newProblem(http.StatusRequestHeaderFieldsTooLarge, "header_too_large", "The request cannot be read",
			"its header has too many lines")
	}
	for c.place != nil && !c.meter.afford(&c.place.room.headers) {
		if !c.place.room.makeHeaderRoom(c) {
			p := newProblem(http.StatusServiceUnavailable, "header_too_large", "The request cannot be read now",
				"its header is long, and so are those of too many other requests")
			p.RetryAfter = time.Second
			return p
		}
	}
	return nil
}
