package upstream

import (
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// What is idle for 90 seconds is closed, and nothing before.
func TestIdleTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		transport := a.transport()
		one, two := a.get(transport), a.get(transport)
		p, q := a.accept(), a.accept()
		p.request()
		q.request()
		p.say(ok)
		time.Sleep(30 * time.Second)
		q.say(ok)
		one.want("ok")
		two.want("ok")
		synctest.Wait()
		start := time.Now()
		is(t, "the rest", p.rest(), "")
		is(t, "the first was open", time.Since(start), 60*time.Second)
		is(t, "the rest", q.rest(), "")
		is(t, "the second was open", time.Since(start), 90*time.Second)
		c := a.get(transport)
		a.accept().serve()
		c.want("ok")
	})
}

// A connection that is five minutes old is not used again.
func TestAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		transport := a.transport()
		p := a.kept(transport)
		for range 4 {
			time.Sleep(time.Minute)
			c := a.get(transport)
			p.serve()
			c.want("ok")
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		c := a.get(transport)
		a.accept().serve()
		c.want("ok")
		is(t, "the rest", p.rest(), "")

		c = a.get(transport) // one that gets old during a request
		q := a.latest()
		q.header()
		q.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
		time.Sleep(maxAge)
		q.say("ok")
		c.want("ok")
		synctest.Wait()
		is(t, "idle connections", len(transport.idle()), 0)
	})
}

// shift returns a time whose wall clock is some seconds later, and whose monotonic clock is the same,
// as after a sleep of the machine. Package time (Go 1.26) has the seconds from bit 30 on, and no
// function for this.
func shift(now time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&now)) += uint64(d/time.Second) << 30
	return now
}

func TestUsable(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, test := range map[string]struct {
		born, since, slept time.Duration // before now; slept by the wall clock alone
		want               bool
	}{
		"new":              {0, 0, 0, true},
		"idle":             {89 * time.Second, 89 * time.Second, 0, true},
		"idle for long":    {90 * time.Second, 90 * time.Second, 0, false},
		"old":              {299 * time.Second, time.Second, 0, true},
		"too old":          {300 * time.Second, time.Second, 0, false},
		"a short sleep":    {time.Second, time.Second, 4 * time.Second, true},
		"a sleep":          {time.Second, time.Second, 6 * time.Second, false},
		"a clock set back": {time.Second, time.Second, -6 * time.Second, false},
	} {
		c := &conn{born: now.Add(-test.born), since: now.Add(-test.since), keep: maxIdleTime}
		is(t, name, c.usable(shift(now, test.slept)), test.want)
	}
}

// Close ends what is idle, and everything else after its request. Requests go on.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		transport := a.transport()
		start := time.Now()
		first, second := a.get(transport), a.get(transport)
		p, q := a.accept(), a.accept()
		p.serve()
		q.header()
		transport.Close()
		p.rest()
		q.say(ok)
		first.want("ok")
		second.want("ok")
		q.rest()
		third := a.get(transport)
		r := a.accept()
		r.serve()
		third.want("ok")
		r.rest()
		is(t, "idle connections", len(transport.idle()), 0)
		is(t, "the time until all are closed", time.Since(start), 0)
		transport.Close()
	})
}

// A request that says so closes the connection.
func TestRequestCloses(t *testing.T) {
	t.Parallel()
	a := listen(t)
	transport := a.transport()
	req := a.request("GET", nil)
	req.Close = true
	c := begin(t, transport, req)
	p := a.accept()
	got, _ := p.request()
	is(t, "the upstream is told", got.Close, true)
	p.say(ok)
	c.want("ok")
	is(t, "the rest", p.rest(), "")
	is(t, "idle connections", len(transport.idle()), 0)
}

func TestCloseIdleConnections(t *testing.T) {
	t.Parallel()
	a := listen(t)
	transport := a.transport()
	p := a.kept(transport)
	transport.CloseIdleConnections()
	is(t, "the rest", p.rest(), "")
	a.kept(transport)
	is(t, "connections", a.dials.Load(), 2)
}
