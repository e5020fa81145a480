package audit

import "time"

// stuckAfter is how long a write may take before other requests do not wait for it.
const stuckAfter = time.Second

// lock waits for the sink. It returns false when another goroutine has used it for long, or
// others have for as long.
func (l *Log) lock() bool {
	select {
	case l.writing <- struct{}{}:
	default:
		if !l.wait() {
			return false
		}
	}
	l.since.Store(time.Now().UnixNano())
	return true
}

// wait is lock where another goroutine uses the sink.
func (l *Log) wait() bool {
	last := time.Now().Add(stuckAfter)
	for {
		since, until := l.since.Load(), last
		if stuck := time.Unix(0, since).Add(stuckAfter); since != 0 && stuck.Before(last) {
			until = stuck
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case l.writing <- struct{}{}:
			timer.Stop()
			return true
		case <-timer.C:
		}
		if l.since.Load() == since || !time.Now().Before(last) {
			return false
		}
	}
}

func (l *Log) unlock() {
	l.since.Store(0)
	<-l.writing
}
