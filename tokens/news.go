package tokens

import "sync"

// News passes on what a Notifier tells: to Run, which adopts what is stored, and to a
// refresh under way, which waits for another process. The zero value is ready. Safe for
// concurrent use.
type news struct {
	mu      sync.Mutex
	pending chan struct{} // has a value when Run is to look
	coming  chan struct{} // closed by the next tell
}

func (n *news) init() {
	if n.pending == nil {
		n.pending, n.coming = make(chan struct{}, 1), make(chan struct{})
	}
}

// tell says that the record may have changed.
func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.init()
	close(n.coming)
	n.coming = make(chan struct{})
	select {
	case n.pending <- struct{}{}:
	default:
	}
}

// told receives a value after a tell. It is for Run alone.
func (n *news) told() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.init()
	return n.pending
}

// next returns a channel that the next tell closes.
func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.init()
	return n.coming
}
