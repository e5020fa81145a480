package issuer

import (
	"context"
	"time"
)

const (
	lateTimer = time.Second     // a timer that fires so late means that the process was stopped
	lateRead  = 2 * time.Second // for what has come meanwhile
)

// withDeadlines is context.WithDeadline with two of them: the first ends a
// request of which nothing was sent, and the second the wait for its answer. An
// answer that is thrown away is a refresh token lost, so the second one gives a
// process that was stopped over it (SIGSTOP, a frozen cgroup) a moment to read
// what has come meanwhile.
func withDeadlines(
	parent context.Context,
	sending, answer time.Time,
	sent func() bool,
) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		timer := time.NewTimer(time.Until(sending))
		defer timer.Stop()
		await := func() bool {
			select {
			case <-ctx.Done():
				return false
			case <-timer.C:
				return true
			}
		}
		if !await() {
			return
		}
		if sent() {
			timer.Reset(time.Until(answer))
			if !await() {
				return
			}
			if time.Since(answer) > lateTimer {
				timer.Reset(lateRead)
				if !await() {
					return
				}
			}
		}
		cancel(context.DeadlineExceeded)
	}()
	return ctx, func() { cancel(context.Canceled) }
}
