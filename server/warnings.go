package server

import (
	"sync"
	"time"
)

// warnings keep warnings about callers from filling the log. The zero value is ready. Safe
// for concurrent use.
type warnings struct {
	mu   sync.Mutex
	last map[warning]time.Time
}

// A warning is about a caller and an upstream, both of which CALLERS_FILE and the
// configuration bound.
type warning struct{ caller, upstream string }

const warningPause = time.Minute

// first reports whether a warning is to be logged: the last one is a minute ago.
func (w *warnings) first(caller, upstream string, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	about := warning{caller, upstream}
	if last, ok := w.last[about]; ok && now.Sub(last) < warningPause {
		return false
	}
	if w.last == nil {
		w.last = map[warning]time.Time{}
	}
	w.last[about] = now
	return true
}
