package proxy

import (
	"bytes"
	"net/http"
	"sync"
)

// What a request's header takes of memory, in bytes: each of its own is kept
// twice, and each of its lines as a list of values.
const (
	byteTakes   = 2
	lineTakes   = 100
	headerFree  = 32 << 10 // of each, which is counted with its connection
	headerMost  = 4 << 20  // of one
	headersMost = 16 << 20 // of all at a time, but for what is free
)

// A meter bounds what the headers of a connection's requests take.
type meter struct {
	mu     sync.Mutex
	takes  int
	taken  int // of the budget
	closed bool
}

// afford reports whether some more of a header may be kept.
func (m *meter) afford(p []byte, all *budget) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takes += byteTakes*len(p) + lineTakes*bytes.Count(p, []byte("\n"))
	more := m.takes - headerFree - m.taken
	if more <= 0 || m.closed {
		return true
	}
	if m.takes > headerMost || !all.take(more) {
		return false
	}
	m.taken += more
	return true
}

// forget is called when a request is over, or for good when the connection is.
func (m *meter) forget(all *budget, closed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all.give(m.taken)
	m.takes, m.taken, m.closed = 0, 0, m.closed || closed
}

// tooLong is what a request is told whose header cannot be kept.
func tooLong() []byte {
	return raw(newProblem(http.StatusRequestHeaderFieldsTooLarge, "header_too_large", "The request cannot be read",
		"its header takes more memory than is left for headers: it has too many lines, or too many are long at a time"))
}
