package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Requests to a host that drops packets fail in time, however many there are.
func TestWaitForDialsIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		const dial = 10 * time.Second
		unreachable := errors.New("i/o timeout")
		transport := a.transport(func(c *Config) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) {
				time.Sleep(dial)
				return nil, unreachable
			}
		})
		var all sync.WaitGroup
		for range 20 * 120 { // twenty a second, for two minutes
			time.Sleep(time.Second / 20)
			start := time.Now()
			c := a.get(transport)
			all.Go(func() {
				c.fails(unreachable)
				if waited := time.Since(start); waited > maxWait+dial {
					t.Errorf("a request waited for %v", waited)
				}
			})
		}
		all.Wait()
		time.Sleep(dial) // the dials that nobody waits for
	})
}
