package upstream

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// An upstream that says when it closes an idle connection gets no request on it shortly before.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		transport := a.transport()
		call := func(p *peer, header string) {
			t.Helper()
			c := a.get(transport)
			if p == nil {
				p = a.accept()
			}
			p.header()
			p.say("HTTP/1.1 200 OK\r\n" + header + "Content-Length: 2\r\n\r\nok")
			c.want("ok")
			synctest.Wait()
		}
		const five = "Keep-Alive: timeout=5\r\n"
		call(nil, five)
		first := a.latest()
		for range 3 {
			time.Sleep(3999 * time.Millisecond)
			call(first, five)
		}
		time.Sleep(4 * time.Second)
		call(nil, five)
		is(t, "the rest", first.rest(), "")
		second := a.latest()
		call(second, "") // which says nothing any more
		time.Sleep(80 * time.Second)
		call(second, "")
		is(t, "connections", a.dials.Load(), 2)
	})
}

func TestKeepTime(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"timeout=5":             4 * time.Second,
		"timeout=5, max=100":    4 * time.Second,
		"max=100,Timeout = 15 ": 14 * time.Second,
		`timeout="20"`:          19 * time.Second,
		"timeout=2":             time.Second,
		"timeout=1":             500 * time.Millisecond,
		"timeout=0":             0,
		"timeout=91":            maxIdleTime,
		"timeout=4294967296":    maxIdleTime,
		"timeout=-1":            maxIdleTime,
		"timeout=":              maxIdleTime,
		"timeout":               maxIdleTime,
		"":                      maxIdleTime,
		"x, timeout=5":          4 * time.Second,
	} {
		is(t, value, keepTime(http.Header{"Keep-Alive": {value}}), want)
	}
	is(t, "two lines", keepTime(http.Header{"Keep-Alive": {"max=1", "timeout=3"}}), 2*time.Second)
	is(t, "none", keepTime(http.Header{}), maxIdleTime)
}
