package issuer

import (
	"context"
	"time"
)

const (
	lateTimer = time.Second     // a timer that fires so late means that the process was stopped
	lateRead  = 2 * time.Second // for what has come meanwhile
)

// withDeadline is context.WithDeadline, but for a process that was stopped over
// the deadline (SIGSTOP, a frozen cgroup): the answer may have come meanwhile,
// and an answer that is thrown away is a refresh token lost. Then it goes on
// for a moment, in which what is there is read.
func withDeadline(parent context.Context, end time.Time) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		timer := time.NewTimer(time.Until(end))
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if time.Since(end) > lateTimer {
			timer.Reset(lateRead)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		}
		cancel(context.DeadlineExceeded)
	}()
	return ctx, func() { cancel(context.Canceled) }
}
