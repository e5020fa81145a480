package inbound

import (
	"bytes"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// The memory that a request's header takes, in bytes. net/http keeps each byte
// twice, and each line as a list of values.
const (
	headerPerByte = 2
	headerPerLine = 100
	headerFree    = 32 << 10 // of each header, which is counted with its connection
	headerMost    = 4 << 20  // of one header
)

// headerMemory is what the header of a connection's present request takes. Safe
// for concurrent use: another connection may release it.
type headerMemory struct {
	mu       sync.Mutex
	size     int
	reserved int // of the memory for all long headers
	closed   bool
}

// add counts some more of a header, and reports whether it is not too long.
func (m *headerMemory) add(p []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.size += headerPerByte*len(p) + headerPerLine*bytes.Count(p, []byte("\n"))
	return m.size <= headerMost
}

// reserve reports whether the memory of all long headers has room for what was
// added.
func (m *headerMemory) reserve(all *semaphore.Weighted) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	more := m.size - headerFree - m.reserved
	if more <= 0 || m.closed {
		return true
	}
	if !all.TryAcquire(int64(more)) {
		return false
	}
	m.reserved += more
	return true
}

// isLong reports whether the header takes some of the memory of all long headers.
func (m *headerMemory) isLong() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reserved > 0
}

// release is called when a request is over, and with closed when its connection is.
func (m *headerMemory) release(all *semaphore.Weighted, closed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all.Release(int64(m.reserved))
	m.size, m.reserved, m.closed = 0, 0, m.closed || closed
}

// refuseHeader counts some more of a header. It returns the problem when the
// header cannot be kept, and nil when it can.
func (c *Conn) refuseHeader(p []byte) *Problem {
	if !c.header.add(p) {
		return NewProblem(http.StatusRequestHeaderFieldsTooLarge, "header_too_large", "The request cannot be read",
			"its header has too many lines")
	}
	for c.slot != nil && !c.header.reserve(c.slot.limiter.headers) {
		if !c.slot.limiter.evictLongHeader(c) {
			p := NewProblem(http.StatusServiceUnavailable, "header_too_large", "The request cannot be read now",
				"its header is long, and so are those of too many other requests")
			p.RetryAfter = time.Second
			return p
		}
	}
	return nil
}
