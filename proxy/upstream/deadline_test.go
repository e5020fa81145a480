package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A time-out is exact, also on a connection whose deadline an earlier request has set.
func TestTimeoutIsExact(t *testing.T) {
	t.Parallel()
	for _, before := range []time.Duration{0, time.Second, 30 * time.Second, 59 * time.Second} {
		for _, idle := range []time.Duration{0, time.Second, 80 * time.Second} {
			for _, secure := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					a := pipes(t)
					if secure {
						a.withTLS(tls.VersionTLS12)
					}
					transport := a.transport()
					var p *peer
					for range 2 {
						c := a.get(transport)
						p = a.latest()
						p.header()
						time.Sleep(before)
						p.say(ok)
						c.want("ok")
						time.Sleep(idle)
					}
					source := &body{Reader: strings.NewReader("body")}
					start := time.Now()
					c := begin(t, transport, a.request("POST", source))
					p.request()
					p.say("HTTP/1.1 200")
					c.fails(timeoutError{})
					is(t, "the wait", time.Since(start), time.Minute)
					is(t, "connections", a.dials.Load(), 1)
					is(t, "the body was closed", source.closed.Load() > 0, true)
					p.rest()
				})
			}
		}
	}
}

func TestTimeoutError(t *testing.T) {
	t.Parallel()
	var timeout net.Error
	if !errors.As(error(timeoutError{}), &timeout) || !timeout.Timeout() || !errors.Is(timeoutError{}, context.DeadlineExceeded) {
		t.Error("a time-out is no time-out")
	}
}

// The time-out counts from the end of the request, and ends with the answer's header. Without one,
// nothing ends the wait.
func TestWhatTheTimeoutBounds(t *testing.T) {
	t.Parallel()
	for _, timeout := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			a := pipes(t)
			transport := a.transport(func(c *Config) { c.Timeout = timeout })
			r, w := io.Pipe()
			c := begin(t, transport, a.request("POST", r))
			p := a.accept()
			p.header()
			time.Sleep(time.Hour)
			w.Close()
			p.r.ReadString('\n')
			p.r.ReadString('\n')
			if timeout == 0 {
				time.Sleep(time.Hour)
			} else {
				time.Sleep(timeout - 1)
			}
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
			time.Sleep(time.Hour)
			p.say("o")
			time.Sleep(time.Hour)
			p.say("k")
			c.want("ok")
		})
	}
}

// The deadline of a connection is moved when a wait needs that, and each wait ends when it is due.
func TestWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		defer here.Close()
		c := newConn(here, nil)
		for _, wait := range []time.Duration{60, 1, 30, 90, 2, 2, 60, 1} {
			for _, before := range []time.Duration{0, 1, 61} { // an earlier wait that something ends, then idle time
				c.waitUntil(time.Now().Add(time.Minute))
				go func() { time.Sleep(time.Second); there.Write([]byte("x")) }()
				if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
					t.Fatal(n, err)
				}
				c.waitUntil(time.Time{})
				time.Sleep(before * time.Second)

				start := time.Now()
				c.waitUntil(start.Add(wait * time.Second))
				if _, err := c.Read(make([]byte, 1)); err != (timeoutError{}) {
					t.Fatal(err)
				}
				is(t, "the wait", time.Since(start), wait*time.Second)
			}
		}

		c.waitUntil(time.Now().Add(time.Second))
		c.waitUntil(time.Time{})
		go func() { time.Sleep(time.Hour); c.interrupt(errBroken) }()
		start := time.Now()
		_, err := c.Read(make([]byte, 1))
		is(t, "the error", err, errBroken)
		is(t, "the wait", time.Since(start), time.Hour)
		c.waitUntil(time.Now().Add(time.Hour))
		_, err = c.Read(make([]byte, 1))
		is(t, "the error", err, errBroken)
		is(t, "the wait", time.Since(start), time.Hour)
	})
}
