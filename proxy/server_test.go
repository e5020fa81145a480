package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	logged "go.uber.org/zap/zaptest/observer"

	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
)

// virtual runs f in virtual time.
func virtual(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// openFor reports how long the connection stays open for an app that only reads.
func (c *appConn) openFor() time.Duration {
	began := time.Now()
	io.Copy(io.Discard, c.r)
	return time.Since(began)
}

func TestSlowHeaderIsCut(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.NotFoundHandler())
		for _, sent := range []string{"", "GET / HTTP/1.1\r\nHost: loc"} {
			c := w.dial()
			var app sync.WaitGroup
			app.Go(func() { // one byte a second is no progress
				c.Write([]byte(sent))
				for {
					time.Sleep(time.Second)
					if _, err := c.Write([]byte("a")); err != nil {
						return
					}
				}
			})
			if got := c.openFor(); got != 10*time.Second {
				t.Errorf("after %q: cut after %v, want 10s", sent, got)
			}
			app.Wait()
		}
	})
}

func TestIdleConnectionIsClosed(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.NotFoundHandler())
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
		read(t, c.receive("POST"))
		is(t, "closed after", c.openFor(), 2*time.Minute)
	})
}

func TestPausedBodyIsEnded(t *testing.T) {
	virtual(t, func(t *testing.T) {
		ended := make(chan error, 1)
		w := beginVirtual(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			ended <- err
		}))
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
		go func() { // one byte a second is no progress
			for {
				time.Sleep(time.Second)
				if _, err := c.Write([]byte("a")); err != nil {
					return
				}
			}
		}()
		began := time.Now()
		res := c.receive("POST")
		problem(t, res, read(t, res), 408, "bad_request")
		is(t, "connection is closed", res.Close, true)
		is(t, "cut after", time.Since(began), time.Minute)
		time.Sleep(2 * time.Second)
		if err := <-ended; err == nil {
			t.Error("the API got a whole body")
		}
		synctest.Wait()
		is(t, "counted as", w.observer.exchanges[0].Status, 408)
	})
}

// The body of a request that was refused is not waited for longer.
func TestUnwantedBodyIsNotWaitedFor(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.NotFoundHandler())
		for _, host := range []string{"localhost", "evil.example"} {
			w.source.err = &proxy.TokenError{Detail: "none"}
			c := w.dial()
			c.send("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\nabc", host)
			is(t, "closed after", c.openFor(), time.Minute)
		}
	})
}

// An upload that was refused and then pauses still gets its answer.
func TestPausedBodyGetsTheEarlyAnswer(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}))
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
		began := time.Now()
		is(t, "status", c.receive("POST").StatusCode, 413)
		if took := time.Since(began); took > time.Second {
			t.Errorf("answered after %v", took)
		}
	})
}

func TestReaderThatStopsIsCut(t *testing.T) {
	virtual(t, func(t *testing.T) {
		left := make(chan time.Time, 1)
		w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
			time.Sleep(time.Second) // ReverseProxy's first flush waits for a mutex, during which no virtual time passes
			for {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					left <- time.Now()
					return
				}
			}
		}))
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		io.CopyN(io.Discard, c.r, 100_000)
		began := time.Now()
		is(t, "cut after", (<-left).Sub(began), time.Minute)
	})
}

func TestSlowReaderIsNotCut(t *testing.T) {
	virtual(t, func(t *testing.T) {
		const size = 256
		w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, size)) }))
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		var got bytes.Buffer
		for one := make([]byte, 1); got.Len() < size || !bytes.HasSuffix(got.Bytes(), make([]byte, size)); { // a byte every fifty seconds
			if _, err := c.Conn.Read(one); err != nil {
				t.Fatalf("cut after %d bytes: %v", got.Len(), err)
			}
			got.Write(one)
			time.Sleep(50 * time.Second)
		}
	})
}

func TestSilentStreamIsNotCut(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/event-stream")
			http.NewResponseController(w).Flush()
			time.Sleep(time.Hour)
			io.WriteString(w, "data: at last\n\n")
		}))
		for _, method := range []string{"GET", "POST"} {
			res := w.open(method, "/", strings.NewReader("x"))
			is(t, "event", read(t, res), "data: at last\n\n")
		}
	})
}

func TestSilentUpgradeIsNotCut(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := &fixture{TB: t, front: newMemory(), back: newMemory()}
		w.serveConns(upgrade)
		w.start()
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		c.receive("GET")
		for range 2 {
			time.Sleep(time.Hour)
			c.send("ping")
			got := make([]byte, 4)
			if _, err := io.ReadFull(c.r, got); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestDrainWithNothingInFlight(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.NotFoundHandler())
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		read(t, c.receive("GET")) // its connection stays idle
		synctest.Wait()
		began := time.Now()
		if err := w.server.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 10*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if err := <-w.served; err != nil {
			t.Errorf("Serve returned %v", err)
		}
		is(t, "idle connection closed after", c.openFor(), 0)
	})
}

func TestDrainBeforeServe(t *testing.T) {
	t.Parallel()
	s := inbound.NewServer(http.NotFoundHandler(), nil, nil)
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	l := listen(t)
	if err := s.Serve(l); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if err := l.Close(); err == nil {
		t.Error("the listener was left open")
	}
}

// An app that sends its whole body still gets the answer that refuses it.
func TestAppThatIsRefusedWhileItSends(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	w := beginRaw(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
			io.Copy(io.Discard, req.Body)
		}
	})
	for name, head := range map[string]string{
		"by the API": "POST / HTTP/1.1\r\nHost: localhost\r\n",
		"by us":      "POST / HTTP/1.1\r\nHost: evil.example\r\n",
	} {
		for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
			c := w.dial()
			if _, err := fmt.Fprintf(c, "%s%sContent-Length: %d\r\n\r\n%s", head, expect, size, make([]byte, size)); err != nil {
				t.Errorf("refused %s, %q: sending: %v", name, expect, err)
			}
			res := c.receive("POST")
			if res.StatusCode != 413 && res.StatusCode != 421 {
				t.Errorf("refused %s, %q: %s", name, expect, res.Status)
			}
			read(t, res)
			c.Close()
		}
	}
}

// A header takes more memory than its length. A thousand of them must not take all
// memory.
func TestManyLongHeaders(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.NotFoundHandler(), withSlots(100))
		long := "GET / HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("a:\r\n", 30_000)
		var all []*appConn
		for range 5 {
			c := w.dial()
			c.send("%s", long)
			all = append(all, c)
		}
		c := w.dial()
		go io.WriteString(c, long)
		res := c.receive("GET")
		is(t, "status", res.StatusCode, 503)
		is(t, "code", res.Header.Get(inbound.ErrorHeader), "header_too_large")
		is(t, "Retry-After", res.Header.Get("Retry-After"), "1")
		read(t, res)
		is(t, "connection is closed", res.Close, true)
		c.Close()
		is(t, "a short one", w.dial().get().StatusCode, 404)

		time.Sleep(time.Second)
		c = w.dial()
		c.send("%s\r\n", long)
		is(t, "one that comes after others have been sending for a second", c.receive("GET").StatusCode, 404)
		is(t, "the one that has been sending for longest is closed", all[0].gone(), true)
		all[1].send("\r\n")
		is(t, "one that was there", all[1].receive("GET").StatusCode, 404)
		all[2].Close()
		synctest.Wait()
		c = w.dial()
		c.send("%s\r\n", long)
		is(t, "one that took its memory", c.receive("GET").StatusCode, 404)
	})
}

// TestLateDrainCutsNothing checks that a drain whose time is over returns no error if no
// request is in flight.
func TestLateDrainCutsNothing(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		read(t, c.receive("GET"))
		synctest.Wait() // until the handler has returned, too
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.server.Drain(ended); err != nil {
			t.Fatal(err)
		}
	})
}

func TestServeReportsABrokenListener(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.Close()
	if err := inbound.NewServer(http.NotFoundHandler(), nil, nil).Serve(l); err == nil {
		t.Error("Serve returned nil")
	}
}

func TestDrainFinishesWhatIsInFlight(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				time.Sleep(10 * time.Second)
			}
			w.WriteHeader(http.StatusEarlyHints)
			io.WriteString(w, "done")
		}))
		slow, kept := w.dial(), w.dial()
		kept.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		is(t, "hint", kept.receive("GET").StatusCode, 103)
		res := kept.receive("GET")
		read(t, res)
		is(t, "close before the drain", res.Close, false)
		slow.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
		synctest.Wait()

		drained := make(chan error, 1)
		began := time.Now()
		go func() { drained <- w.server.Drain(context.Background()) }()
		synctest.Wait()

		late := w.dial()
		late.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		res = late.receive("GET")
		is(t, "late status", res.StatusCode, 503)
		is(t, "late error header", res.Header.Get(inbound.ErrorHeader), "draining")
		is(t, "late close", res.Close, true)
		kept.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		is(t, "hint", kept.receive("GET").StatusCode, 103)
		res = kept.receive("GET")
		is(t, "kept status", res.StatusCode, 200)
		is(t, "kept close", res.Close, true)
		is(t, "kept answer", read(t, res), "done")

		is(t, "hint", slow.receive("GET").StatusCode, 103)
		res = slow.receive("GET")
		is(t, "slow status", res.StatusCode, 200)
		is(t, "slow close", res.Close, true)
		is(t, "slow answer", read(t, res), "done")
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("drained after %v", took)
		}
		if err := <-w.served; err != nil {
			t.Errorf("Serve returned %v", err)
		}
		if _, err := w.front.DialContext(t.Context(), "", ""); err == nil {
			t.Error("it still listens")
		}
	})
}

func TestDrainTimeoutCuts(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var drain sync.WaitGroup
		drain.Go(func() {
			if err := w.server.Drain(ctx); err == nil {
				t.Error("requests were cut off without an error")
			}
		})
		is(t, "cut after", c.openFor(), 5*time.Second)
		drain.Wait()
		if err := <-w.served; err != nil {
			t.Errorf("Serve returned %v", err)
		}
	})
}

func TestDrainTimeoutCutsAnUpgrade(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := &fixture{TB: t, front: newMemory(), back: newMemory()}
		w.serveConns(upgrade)
		w.start()
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		c.receive("GET")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		go w.server.Drain(ctx)
		is(t, "cut after", c.openFor(), 5*time.Second)
	})
}

func TestAppThatLeavesEndsTheExchange(t *testing.T) {
	virtual(t, func(t *testing.T) {
		left := make(chan error, 1)
		w := beginVirtual(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			left <- r.Context().Err()
		}))
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
		time.Sleep(time.Second)
		c.Close()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the API's request ended with %v", err)
		}
		synctest.Wait()
		is(t, "in flight", w.observer.inFlight, 0)
		is(t, "exchange", w.observer.exchanges[0], proxy.Exchange{Method: "POST", Status: 499, Took: time.Second})
	})
}

// Took is the app's whole wait. Overhead does not include the API's part.
func TestExchangeIsMeasured(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * time.Second)
			if r.Header.Get("Authorization") == bearer(1) {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.WriteHeader(http.StatusTeapot)
			http.NewResponseController(w).Flush()
			time.Sleep(3 * time.Second)
		}))
		w.source.refresh = func(context.Context) error { time.Sleep(time.Second); return nil }
		w.do("BREW", "/", nil)
		synctest.Wait()
		is(t, "exchange", w.observer.exchanges[0], proxy.Exchange{Method: "BREW", Status: 418, Took: 8 * time.Second, Overhead: time.Second})
	})
}

// A panic is logged as an error, without a value that may be a secret.
func TestPanicIsLogged(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		panics func()
		errors int
		shows  string
	}{
		"aborted":       {func() { panic(http.ErrAbortHandler) }, 0, ""},
		"runtime error": {func() { _ = []int(nil)[len(os.Args)] }, 1, "index out of range"},
		"other value":   {func() { panic("a-secret") }, 1, "a string"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core, logs := logged.New(zap.DebugLevel)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := inbound.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { test.panics() }), nil, zap.New(core))
			served := make(chan error)
			go func() { served <- s.Serve(l) }()
			if res, err := http.Get("http://" + l.Addr().String()); err == nil {
				res.Body.Close()
				t.Errorf("answered %s", res.Status)
			}
			if err := s.Drain(t.Context()); err != nil {
				t.Error(err)
			}
			<-served
			is(t, "errors", logs.FilterLevelExact(zap.ErrorLevel).Len(), test.errors)
			for _, entry := range logs.All() {
				text := fmt.Sprint(entry.Message, entry.ContextMap())
				if strings.Contains(text, "a-secret") || !strings.Contains(text, test.shows) {
					t.Errorf("logged %q", text)
				}
			}
		})
	}
}

// A failingListener fails its first Accept.
type failingListener struct {
	net.Listener
	failed atomic.Bool
}

func (l *failingListener) Accept() (net.Conn, error) {
	if !l.failed.Swap(true) {
		return nil, syscall.EMFILE
	}
	return l.Listener.Accept()
}

func TestFailedAcceptIsLogged(t *testing.T) {
	t.Parallel()
	core, logs := logged.New(zap.ErrorLevel)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := inbound.NewServer(http.NotFoundHandler(), nil, zap.New(core))
	served := make(chan error)
	go func() { served <- s.Serve(&failingListener{Listener: l}) }()
	res, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	is(t, "errors", logs.FilterMessage("accepting a connection").Len(), 1)
}
