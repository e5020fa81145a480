package issuer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestDeadlineOfAStoppedProcess checks that an answer that came while the process was
// stopped can still be read for 2 s. A request that was not sent gets no such time.
func TestDeadlineOfAStoppedProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for left, want := range map[time.Duration]time.Duration{
			10 * time.Second: 10 * time.Second,
			-time.Second:     0, // a timer that is merely late
			-4 * time.Second: 2 * time.Second,
		} {
			began := time.Now()
			unsent, cancel := withDeadlines(t.Context(), began.Add(time.Second), began.Add(time.Minute), func() bool { return false })
			<-unsent.Done()
			if took := time.Since(began); took != time.Second {
				t.Errorf("a request that was not sent ended after %v", took)
			}
			cancel()
			began = time.Now()
			ctx, cancel := withDeadlines(t.Context(), began.Add(left/2), began.Add(left), func() bool { return true })
			<-ctx.Done()
			if took := time.Since(began); took != want {
				t.Errorf("with %v left it ended after %v, want %v", left, took, want)
			}
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				t.Errorf("it ended with %v", cause)
			}
			cancel()
		}
	})
}
