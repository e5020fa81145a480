package proxy

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// A Room bounds how many connections apps hold, over all listeners that share
// it: they must not take the descriptors that the state, the issuer and the
// admin listener need. In a full room a newcomer takes the place of the
// connection that has waited longest for a request's header, and longer than
// hopeful, or else of the one whose app has been due longest to send some of a
// body or to take some of an answer, and longer than urgent; while there is none,
// newcomers wait. Safe for concurrent use.
type Room struct {
	log     *zap.Logger
	headers budget // for those that are long

	mu        sync.Mutex
	places    int
	told      time.Time // that newcomers wait
	free      int
	taken     map[*place]bool
	waiting   list.List     // of *place, the longest first
	newcomers int           // that wait
	changed   chan struct{} // closed when a place may be had, if newcomers wait
}

// hopeful is how long an app may take for a request's header although others
// want its place: honest ones send it at once.
const hopeful = 250 * time.Millisecond

// urgent is how long an app may take for bodyLeast of a body, or for what is
// written of an answer at a time, although others want its place.
const urgent = 5 * time.Second

// lookAgain is how often newcomers look for a body that has become slow.
const lookAgain = time.Second

// tellAgain is how often it is logged that newcomers wait.
const tellAgain = time.Minute

// NewRoom returns a room of so many places, which is one at least, where long
// headers may take so many bytes of memory at a time.
func NewRoom(places, headers int, log *zap.Logger) *Room {
	places = max(places, 1)
	r := &Room{log: log, places: places, free: places, taken: map[*place]bool{}, changed: make(chan struct{})}
	r.headers.give(headers)
	return r
}

// Places is how many connections there may be.
func (r *Room) Places() int { return r.places }

// A place is a connection's. A nil place is in a room without bounds.
type place struct {
	room *Room
	conn *patientConn
	// waits is nil while a request is served, and when the place is lost.
	waits *list.Element
	since time.Time // it waits
	lost  bool
}

// due is since when an app is due to do something, in Unix nanoseconds; 0 when
// it is not.
type due struct{ atomic.Int64 }

func (d *due) from(t time.Time) { d.Store(t.UnixNano()) }
func (d *due) done()            { d.Store(0) }

// enter returns a place for a connection; nil when closed is before there is
// one.
func (r *Room) enter(c *patientConn, closed <-chan struct{}) *place {
	p := &place{room: r, conn: c}
	for {
		ok, changed, hope := r.try(p)
		if ok {
			return p
		}
		timer := time.NewTimer(hope)
		select {
		case <-changed:
		case <-timer.C:
		case <-closed:
		}
		timer.Stop()
		r.stopWaiting()
		select {
		case <-closed:
			return nil
		default:
		}
	}
}

func (r *Room) stopWaiting() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newcomers--
}

// try gives p a free place, or another's, which it closes. Failing that, p is
// one of the newcomers: it may try again when changed is closed, or after hope.
func (r *Room) try(p *place) (ok bool, changed <-chan struct{}, hope time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.free == 0 {
		if hope = r.evict(); hope > 0 {
			r.newcomers++
			return false, r.changed, hope
		}
	}
	r.free--
	r.taken[p] = true
	r.await(p)
	return true, nil, 0
}

// evict frees a place, and returns 0; or else after what time to try again. r.mu
// is held.
func (r *Room) evict() (hope time.Duration) {
	hope = lookAgain
	longest := r.waiting.Front()
	if longest != nil {
		p := longest.Value.(*place)
		if hope = p.evictAfter(hopeful - time.Since(p.since)); hope == 0 {
			return 0
		}
	}
	now := time.Now()
	if longest == nil && now.Sub(r.told) >= tellAgain {
		r.told = now
		r.log.Warn("requests are served on all connections that there may be: newcomers wait",
			zap.Int("connections", r.places), zap.String("hint", "more open files (ulimit -n), or a higher GOMEMLIMIT, allow for more"))
	}
	var slowest *place
	oldest := now.UnixNano()
	for p := range r.taken {
		for _, d := range []*due{&p.conn.sends, &p.conn.takes} {
			if since := d.Load(); since != 0 && since < oldest {
				slowest, oldest = p, since
			}
		}
	}
	if slowest == nil {
		return hope
	}
	return min(hope, slowest.evictAfter(urgent-time.Duration(now.UnixNano()-oldest)))
}

// makeHeaderRoom cuts off the connection that has sent longest on a long header,
// and longer than hopeful, and returns whether there was one besides c.
func (r *Room) makeHeaderRoom(c *patientConn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for e := r.waiting.Front(); e != nil; e = e.Next() {
		p := e.Value.(*place)
		if time.Since(p.since) < hopeful {
			return false
		}
		if p.conn != c && p.conn.meter.long() {
			p.conn.meter.forget(&r.headers, true)
			return p.evictAfter(0) == 0
		}
	}
	return false
}

// evictAfter takes the place from its connection, which it closes, if hope is
// not positive, and returns 0; or else hope. The room's mu is held.
func (p *place) evictAfter(hope time.Duration) time.Duration {
	if hope > 0 {
		return hope
	}
	p.lose()
	p.conn.Conn.Close()
	return 0
}

// await has p wait for a request's header. r.mu is held.
func (r *Room) await(p *place) {
	p.since = time.Now()
	p.waits = r.waiting.PushBack(p)
}

// stop has p wait no longer. The room's mu is held.
func (p *place) stop() {
	if p.waits != nil {
		p.room.waiting.Remove(p.waits)
		p.waits = nil
	}
}

// tell lets newcomers try again. r.mu is held.
func (r *Room) tell() {
	if r.newcomers > 0 {
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

// serve keeps the place while a request is served. It reports whether there
// still is one: a connection that has lost it is closed.
func (p *place) serve() bool {
	if p == nil {
		return true
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	p.stop()
	return !p.lost
}

// wait is for the next request.
func (p *place) wait() {
	if p == nil {
		return
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if !p.lost && p.waits == nil {
		p.room.await(p)
		p.room.tell()
	}
}

// leave frees the place. It may be called again.
func (p *place) leave() {
	if p == nil {
		return
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.lost {
		return
	}
	p.lose()
	p.room.tell()
}

// lose frees the place. The room's mu is held.
func (p *place) lose() {
	p.stop()
	p.lost = true
	delete(p.room.taken, p)
	p.room.free++
}
