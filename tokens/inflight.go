package tokens

import "sync"

// An inflight counts the refreshes under way, so that the last can be waited for.
// Its zero value is ready.
type inflight struct {
	mu      sync.Mutex
	active  int
	closing chan struct{} // closed when nothing more may begin
	ended   chan struct{} // closed when nothing is under way either
}

func (l *inflight) init() {
	if l.closing == nil {
		l.closing, l.ended = make(chan struct{}), make(chan struct{})
	}
}

// enter reports whether a refresh may begin; if so, leave must follow.
func (l *inflight) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.init()
	select {
	case <-l.closing:
		return false
	default:
		l.active++
		return true
	}
}

func (l *inflight) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active--
	select {
	case <-l.closing:
		if l.active == 0 {
			close(l.ended)
		}
	default:
	}
}

// over is closed when nothing more may begin, and what waits should give up.
func (l *inflight) over() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.init()
	return l.closing
}

// end lets nothing more begin; the channel is closed when all have left.
func (l *inflight) end() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.init()
	select {
	case <-l.closing:
	default:
		close(l.closing)
		if l.active == 0 {
			close(l.ended)
		}
	}
	return l.ended
}

// A chanMutex is a mutex whose waiters a synctest bubble knows to be idle. Its
// zero value is ready, and not locked.
type chanMutex struct {
	once sync.Once
	held chan struct{}
}

func (m *chanMutex) init() { m.once.Do(func() { m.held = make(chan struct{}, 1) }) }

// lock waits for the mutex. It reports false when done is closed before.
func (m *chanMutex) lock(done <-chan struct{}) bool {
	m.init()
	select {
	case m.held <- struct{}{}:
		return true
	case <-done:
		return false
	}
}

// tryLock locks the mutex if it is free, and reports whether it was.
func (m *chanMutex) tryLock() bool {
	m.init()
	select {
	case m.held <- struct{}{}:
		return true
	default:
		return false
	}
}

func (m *chanMutex) unlock() { <-m.held }
