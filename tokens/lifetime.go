package tokens

import "sync"

// A lifetime counts the refreshes under way, so that the last can be waited
// for. Its zero value is ready.
type lifetime struct {
	mu      sync.Mutex
	active  int
	closing chan struct{} // closed when nothing more may begin
	ended   chan struct{} // closed when nothing is under way either
}

func (l *lifetime) init() {
	if l.closing == nil {
		l.closing, l.ended = make(chan struct{}), make(chan struct{})
	}
}

// enter reports whether a refresh may begin; if so, leave must follow.
func (l *lifetime) enter() bool {
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

func (l *lifetime) leave() {
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
func (l *lifetime) over() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.init()
	return l.closing
}

// end lets nothing more begin; the channel is closed when all have left.
func (l *lifetime) end() <-chan struct{} {
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

// A baton is a mutex whose waiters a synctest bubble knows to be idle. Its zero
// value is ready, and free.
type baton struct {
	once sync.Once
	held chan struct{}
}

func (b *baton) init() { b.once.Do(func() { b.held = make(chan struct{}, 1) }) }

// take waits for the baton, and reports false when done is closed before.
func (b *baton) take(done <-chan struct{}) bool {
	b.init()
	select {
	case b.held <- struct{}{}:
		return true
	case <-done:
		return false
	}
}

// try reports whether the baton was free, and takes it.
func (b *baton) try() bool {
	b.init()
	select {
	case b.held <- struct{}{}:
		return true
	default:
		return false
	}
}

func (b *baton) give() { <-b.held }
