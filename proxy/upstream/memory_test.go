package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What a long header takes of the memory of all is given back, however its answer ends.
func TestMemoryIsGivenBack(t *testing.T) {
	t.Parallel()
	long := "X: " + strings.Repeat("x", 40<<10) + "\r\n"
	for name, test := range map[string]struct{ method, answer string }{
		"read to its end":   {"GET", "HTTP/1.1 200 OK\r\n" + long + "Content-Length: 2\r\n\r\nok"},
		"no body":           {"HEAD", "HTTP/1.1 200 OK\r\n" + long + "Content-Length: 2\r\n\r\n"},
		"truncated body":    {"GET", "HTTP/1.1 200 OK\r\n" + long + "Content-Length: 3\r\n\r\nok"},
		"truncated header":  {"GET", "HTTP/1.1 200 OK\r\n" + long},
		"broken header":     {"GET", "HTTP/1.1 200 OK\r\n" + long + "X\r\n\r\n"},
		"too long":          {"GET", "HTTP/1.1 200 OK\r\n" + strings.Repeat(long, 20)},
		"an interim answer": {"GET", "HTTP/1.1 103 X\r\n" + long + "\r\nHTTP/1.1 204 No Content\r\n\r\n"},
		"a switch":          {"GET", "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n" + long + "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := listen(t)
			memory := NewAnswerMemory(answerMost)
			transport := a.transport(func(c *Config) { c.Answers = memory })
			c := begin(t, transport, a.request(test.method, nil))
			p := a.accept()
			p.request()
			p.Conn.Write([]byte(test.answer))
			p.Close()
			c.end()
			is(t, "all memory is free", memory.free.TryAcquire(answerMost), true)
		})
	}
}

// An answer with a long header waits five seconds for memory, or until its request is cancelled.
// Others, and short ones, go on.
func TestMemoryIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		memory := NewAnswerMemory(answerMost)
		transport := a.transport(func(c *Config) { c.Answers = memory })
		long := "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 40<<10) + "\r\nContent-Length: 2\r\n\r\nok"
		ask := func(ctx context.Context, answer string) *call {
			c := begin(t, transport, a.request("GET", nil).WithContext(ctx))
			p := a.latest()
			p.request()
			go p.Conn.Write([]byte(answer))
			return c
		}
		memory.free.Acquire(t.Context(), answerMost)
		start := time.Now()
		ask(t.Context(), long).fails(errAnswers)
		is(t, "the wait", time.Since(start), answerWait)
		ask(t.Context(), ok).want("ok")

		ctx, cancel := context.WithCancel(t.Context())
		c := ask(ctx, long)
		synctest.Wait()
		cancel()
		c.fails(context.Canceled)

		c = ask(t.Context(), long)
		time.Sleep(answerWait - 1)
		memory.free.Release(answerMost)
		c.want("ok")
	})
}

// Close may be called while a read waits, and ends it.
func TestCloseDuringRead(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, a *api) {
		for _, header := range []string{"Content-Length: 5\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\n", "\r\n"} {
			transport := a.transport()
			got := make(chan *http.Response)
			go func() {
				res, err := transport.RoundTrip(a.request("GET", nil))
				if err != nil {
					t.Error(err)
				}
				got <- res
			}()
			p := a.accept()
			p.request()
			p.say("HTTP/1.1 200 OK\r\n" + header)
			res := <-got
			read := make(chan error)
			go func() { _, err := res.Body.Read(make([]byte, 5)); read <- err }()
			res.Body.Close()
			if err := <-read; err == nil || errors.Is(err, context.Canceled) {
				t.Errorf("the read ended with %v", err)
			}
			is(t, "the rest", p.rest(), "")
			is(t, "idle connections", len(transport.idle()), 0)
		}
	})
}

// A Waiter is told before a read waits, and not when there is something to read.
func TestOnWait(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, a *api) {
		transport := a.transport()
		got := make(chan *http.Response)
		go func() {
			res, err := transport.RoundTrip(a.request("GET", nil))
			if err != nil {
				t.Error(err)
			}
			got <- res
		}()
		p := a.accept()
		p.request()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		res := <-got
		w := make(waits, 1)
		res.Body.(interface{ OnWait(Waiter) }).OnWait(w)
		part := make([]byte, 5)
		if n, err := res.Body.Read(part); string(part[:n]) != "hello" || err != nil {
			t.Errorf("got %q, %v", part[:n], err)
		}
		is(t, "waits", len(w), 0)
		go func() {
			<-w
			p.say("world")
		}()
		if n, _ := res.Body.Read(part); string(part[:n]) != "world" {
			t.Errorf("got %q", part[:n])
		}
		res.Body.Close()
		is(t, "idle connections", len(transport.idle()), 1)
	})
}

// An idle connection keeps nothing of the request that it served.
func TestIdleConnectionKeepsNoWaiter(t *testing.T) {
	t.Parallel()
	a := listen(t)
	transport := a.transport()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		res, err := transport.RoundTrip(a.request("GET", nil))
		if err != nil {
			t.Error(err)
			return
		}
		res.Body.(interface{ OnWait(Waiter) }).OnWait(make(waits, 1))
		io.ReadAll(res.Body) // which does not wait
		res.Body.Close()
	}()
	a.accept().serve()
	<-ended
	is(t, "the waiter", transport.idle()[0].watch.waiter, nil)
}

type waits chan struct{}

func (w waits) BeforeWait() { w <- struct{}{} }
