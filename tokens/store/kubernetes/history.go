package kubernetes

import (
	"context"

	"ticketproxy/tokens"
)

// A history is what the watch has seen of one key's record. It has no gap: a watch that goes
// on at a resourceVersion gets every change since, in order.
type history struct {
	known bool           // the record's version is known
	now   tokens.Version // of the record; "" when there is none
	lost  tokens.Version // the last version before the last loss; "" when that is not known
	next  tokens.Version // the first version after that loss; "" when there is none yet
	heard chan struct{}  // closed when the history goes on; nil when nobody waits for that
}

// set notes the record's version in the next event. deleted is the version in the Secret that
// this event has deleted, as it was at last; "" for other events.
func (h *history) set(now, deleted tokens.Version) {
	if deleted != "" {
		h.now, h.known = deleted, true
	}
	switch {
	case h.known && h.now != "" && now == "":
		h.lost, h.next = h.now, ""
	case h.known && h.now == "" && h.next == "":
		h.next = now
	}
	h.now, h.known = now, true
	h.wake()
}

// gap notes that changes may have been missed.
func (h *history) gap() {
	*h = history{heard: h.heard}
	h.wake()
}

func (h *history) wake() {
	if h.heard != nil {
		close(h.heard)
		h.heard = nil
	}
}

// goesOn returns a channel that is closed when the history goes on.
func (h *history) goesOn() <-chan struct{} {
	if h.heard == nil {
		h.heard = make(chan struct{})
	}
	return h.heard
}

// Restored implements tokens.Witness. Where the Secret is not watched, it is false.
func (a *Account) Restored(ctx context.Context, lost, next tokens.Version) bool {
	w := &a.secret.watch
	for {
		w.mu.Lock()
		s := w.subscribers[a.key()]
		if s == nil {
			w.mu.Unlock()
			return false
		}
		h := s.history
		if caughtUp := h.next == next && h.lost == lost || h.known && h.now == next; caughtUp {
			w.mu.Unlock()
			return h.next == next && h.lost == lost && lost != "" && next != ""
		}
		goesOn := s.history.goesOn()
		w.mu.Unlock()
		select {
		case <-goesOn:
		case <-ctx.Done():
			return false
		}
	}
}
