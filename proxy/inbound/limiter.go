package inbound

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
)

const (
	// headerPatience is how long an app may take for a request's header although
	// others want its slot. Honest apps send it at once.
	headerPatience = 250 * time.Millisecond
	// slowPatience is how long an app may take for BodyChunk of a body, or for what
	// is written of an answer at a time, although others want its slot.
	slowPatience = 5 * time.Second
	// recheckInterval is how often newcomers look for a body that has become slow.
	recheckInterval = time.Second
	// fullLogInterval is how often it is logged that newcomers wait.
	fullLogInterval = time.Minute
)

// A ConnLimiter bounds how many connections apps hold, over all listeners that
// share it. Without it, apps could take the descriptors that the state, the
// issuer and the admin listener need.
//
// When all slots are taken, a newcomer takes the slot of another connection:
// of the one that has waited longest for a request's header, if that is longer
// than headerPatience; or else of the one whose app has been due longest to send
// some of a body or to take some of an answer, if that is longer than
// slowPatience. Newcomers wait while there is no such connection.
//
// Safe for concurrent use.
type ConnLimiter struct {
	log     *zap.Logger
	slots   int
	headers *semaphore.Weighted // bytes of memory that long headers may take

	mu        sync.Mutex // guards what follows, and the slots
	loggedAt  time.Time  // when it was last logged that newcomers wait
	free      int        // slots
	taken     map[*slot]bool
	idle      list.List     // of *slot that wait for a header, the longest first
	newcomers int           // that wait
	changed   chan struct{} // closed when a slot may be available, if newcomers wait
}

// NewConnLimiter returns a limiter to a number of connections, which is one at
// least. Long headers may take headerBytes of memory at a time.
func NewConnLimiter(connections, headerBytes int, log *zap.Logger) *ConnLimiter {
	connections = max(connections, 1)
	return &ConnLimiter{
		log:     log,
		slots:   connections,
		headers: semaphore.NewWeighted(int64(headerBytes)),
		free:    connections,
		taken:   map[*slot]bool{},
		changed: make(chan struct{}),
	}
}

// Slots returns how many connections there may be.
func (l *ConnLimiter) Slots() int { return l.slots }

// A slot is a connection's permission to exist. A nil slot is without limits.
type slot struct {
	limiter *ConnLimiter
	conn    *Conn
	// element is the slot's place in the limiter's idle list. It is nil while a
	// request is served, and when the slot is lost.
	element   *list.Element
	idleSince time.Time
	lost      bool
}

// A deadlineStart is since when an app is due to do something, in Unix
// nanoseconds. It is 0 while the app is not due.
type deadlineStart struct{ atomic.Int64 }

func (d *deadlineStart) set(t time.Time) { d.Store(t.UnixNano()) }
func (d *deadlineStart) clear()          { d.Store(0) }

// acquire returns a slot for a connection. It waits for one until closed is
// closed, and then returns nil.
func (l *ConnLimiter) acquire(c *Conn, closed <-chan struct{}) *slot {
	s := &slot{limiter: l, conn: c}
	for {
		ok, changed, retry := l.try(s)
		if ok {
			return s
		}
		timer := time.NewTimer(retry)
		select {
		case <-changed:
		case <-timer.C:
		case <-closed:
		}
		timer.Stop()
		l.stopWaiting()
		select {
		case <-closed:
			return nil
		default:
		}
	}
}

func (l *ConnLimiter) stopWaiting() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newcomers--
}

// try gives s a free slot, or that of another connection, which it closes. When
// there is none, s counts as a newcomer: it may try again when changed is closed,
// or after retry.
func (l *ConnLimiter) try(s *slot) (ok bool, changed <-chan struct{}, retry time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free == 0 {
		if retry = l.evictLocked(); retry > 0 {
			l.newcomers++
			return false, l.changed, retry
		}
	}
	l.free--
	l.taken[s] = true
	l.idleLocked(s)
	return true, nil, 0
}

// evictLocked frees a slot and returns 0, or returns after what time to try again.
func (l *ConnLimiter) evictLocked() (retry time.Duration) {
	retry = recheckInterval
	longest := l.idle.Front()
	if longest != nil {
		s := longest.Value.(*slot)
		if retry = s.evictAfterLocked(headerPatience - time.Since(s.idleSince)); retry == 0 {
			return 0
		}
	}
	now := time.Now()
	if longest == nil && now.Sub(l.loggedAt) >= fullLogInterval {
		l.loggedAt = now
		l.log.Warn("all connections are in use: newcomers wait", zap.Int("connections", l.slots),
			zap.String("hint", "more open files (ulimit -n), or a higher GOMEMLIMIT, allow for more"))
	}
	var slowest *slot
	oldest := now.UnixNano()
	for s := range l.taken {
		for _, d := range []*deadlineStart{&s.conn.sendDue, &s.conn.takeDue} {
			if since := d.Load(); since != 0 && since < oldest {
				slowest, oldest = s, since
			}
		}
	}
	if slowest == nil {
		return retry
	}
	return min(retry, slowest.evictAfterLocked(slowPatience-time.Duration(now.UnixNano()-oldest)))
}

// evictLongHeader closes the connection that has been sending a long header for
// longest, if that is longer than headerPatience. It returns whether there was one
// besides c.
func (l *ConnLimiter) evictLongHeader(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.idle.Front(); e != nil; e = e.Next() {
		s := e.Value.(*slot)
		if time.Since(s.idleSince) < headerPatience {
			return false
		}
		if s.conn != c && s.conn.header.isLong() {
			s.conn.header.release(l.headers, true)
			return s.evictAfterLocked(0) == 0
		}
	}
	return false
}

// evictAfterLocked closes the slot's connection and returns 0, unless there is
// time left, which it returns then.
func (s *slot) evictAfterLocked(left time.Duration) time.Duration {
	if left > 0 {
		return left
	}
	s.freeLocked()
	s.conn.Conn.Close()
	return 0
}

// idleLocked notes that s waits for a request's header.
func (l *ConnLimiter) idleLocked(s *slot) {
	s.idleSince = time.Now()
	s.element = l.idle.PushBack(s)
}

// busyLocked notes that s does not wait for a request's header.
func (s *slot) busyLocked() {
	if s.element != nil {
		s.limiter.idle.Remove(s.element)
		s.element = nil
	}
}

// wakeLocked lets newcomers try again.
func (l *ConnLimiter) wakeLocked() {
	if l.newcomers > 0 {
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// busy keeps the slot while a request is served. It reports whether the
// connection still has its slot; otherwise it has been closed.
func (s *slot) busy() bool {
	if s == nil {
		return true
	}
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	s.busyLocked()
	return !s.lost
}

// waitForRequest notes that a request is over, and the next may come.
func (s *slot) waitForRequest() {
	if s == nil {
		return
	}
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	if !s.lost && s.element == nil {
		s.limiter.idleLocked(s)
		s.limiter.wakeLocked()
	}
}

// release gives the slot back. It may be called again.
func (s *slot) release() {
	if s == nil {
		return
	}
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	if s.lost {
		return
	}
	s.freeLocked()
	s.limiter.wakeLocked()
}

func (s *slot) freeLocked() {
	s.busyLocked()
	s.lost = true
	delete(s.limiter.taken, s)
	s.limiter.free++
}
