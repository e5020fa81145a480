package inbound

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A pipeListener accepts one connection, and counts its reads, also those at the same time.
type pipeListener struct {
	net.Conn
	accepted atomic.Bool
	reads    atomic.Int32
	reading  atomic.Int32
	both     atomic.Bool // two reads at the same time
	once     sync.Once
	closed   chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	if !l.accepted.Swap(true) {
		return pipeConn{l.Conn, l}, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return l.LocalAddr() }

type pipeConn struct {
	net.Conn
	l *pipeListener
}

func (c pipeConn) Read(p []byte) (int, error) {
	c.l.reads.Add(1)
	if c.l.reading.Add(1) > 1 {
		c.l.both.Store(true)
	}
	defer c.l.reading.Add(-1)
	return c.Conn.Read(p)
}

// A watched is an app's end of a connection to a server, and that of its answers.
type watched struct {
	net.Conn
	*testing.T
	answers  *bufio.Reader
	listener *pipeListener
}

// withWatched runs a test with a connection to a server, in virtual time.
func withWatched(t *testing.T, handler http.HandlerFunc, test func(w *watched)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		w := &watched{here, t, bufio.NewReader(here), &pipeListener{Conn: there, closed: make(chan struct{})}}
		server := NewServer(handler, nil, nil)
		ended := make(chan error)
		go func() { ended <- server.Serve(w.listener) }()
		test(w)
		here.Close()
		server.http.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if w.listener.both.Load() {
			t.Error("the connection was read twice at the same time")
		}
	})
}

func (w *watched) send(path string) {
	w.Helper()
	if _, err := fmt.Fprintf(w, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		w.Error(err)
	}
}

func (w *watched) receive(want string) {
	w.Helper()
	res, err := http.ReadResponse(w.answers, nil)
	if err != nil {
		w.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != want {
		w.Errorf("%q, %v, want %q", body, err, want)
	}
}

// echo takes as long as the path says, and answers with it, and with a method other than GET.
func echo(w http.ResponseWriter, r *http.Request) {
	wait, _ := time.ParseDuration(strings.TrimPrefix(r.URL.Path, "/"))
	time.Sleep(wait)
	io.WriteString(w, strings.TrimPrefix(r.Method+" ", "GET ")+r.URL.Path)
}

// TestAppLeaves tests that a request's context ends when the app closes the connection: at once when
// it is watched, and otherwise when that begins.
func TestAppLeaves(t *testing.T) {
	for after, want := range map[time.Duration]time.Duration{
		time.Millisecond: 2 * watchDelay,
		2 * watchDelay:   2 * watchDelay,
		time.Hour:        time.Hour,
	} {
		t.Run(after.String(), func(t *testing.T) {
			var took time.Duration
			handler := func(_ http.ResponseWriter, r *http.Request) {
				began := time.Now()
				<-r.Context().Done()
				took = time.Since(began)
			}
			withWatched(t, handler, func(w *watched) {
				w.send("/")
				time.Sleep(after)
				w.Conn.Close()
				time.Sleep(time.Minute)
				if synctest.Wait(); took != want {
					t.Errorf("after %s, want %s", took, want)
				}
			})
		})
	}
}

// TestQuickRequestsAreNotWatched tests that a request which is answered quickly costs one read, also
// when others follow it, and that the header after a long one is read in two.
func TestQuickRequestsAreNotWatched(t *testing.T) {
	withWatched(t, echo, func(w *watched) {
		for i := range 100 {
			path := fmt.Sprintf("/%dms", i%20)
			w.send(path)
			w.receive(path)
		}
		if synctest.Wait(); w.listener.reads.Load() != 101 { // it waits for the next one
			t.Errorf("%d reads", w.listener.reads.Load())
		}
		for range 10 {
			w.send("/1h")
			w.receive("/1h")
		}
		if synctest.Wait(); w.listener.reads.Load() != 101+10+9 {
			t.Errorf("%d reads", w.listener.reads.Load())
		}
	})
}

// TestWatchedBytes tests that the byte which is read while a request is served is the next request's
// first, whenever that comes.
func TestWatchedBytes(t *testing.T) {
	withWatched(t, echo, func(w *watched) {
		for _, wait := range []time.Duration{0, time.Millisecond, 49 * time.Millisecond, 51 * time.Millisecond, time.Second} {
			w.send("/100ms")
			time.Sleep(wait)
			go w.send("/1ms")
			w.receive("/100ms")
			w.receive("/1ms")
			w.send("/50ms") // answered when the watch begins
			w.receive("/50ms")
		}
	})
}

// TestWatchedPipeline tests that no byte is lost when the next request is there already, so that the
// server does not read the connection between the two.
func TestWatchedPipeline(t *testing.T) {
	withWatched(t, echo, func(w *watched) {
		for _, wait := range []time.Duration{time.Millisecond, 500 * time.Millisecond, 1500 * time.Millisecond} {
			const two = "GET /1s HTTP/1.1\r\nHost: localhost\r\n\r\nGET /1001ms HTTP/1.1\r\nHost: localhost\r\n\r\n"
			if _, err := io.WriteString(w, two); err != nil {
				t.Error(err)
			}
			time.Sleep(wait)
			go w.send("/1ms")
			for _, want := range []string{"/1s", "/1001ms", "/1ms"} {
				w.receive(want)
			}
		}
	})
}

// TestWatchedDeadline tests that a read which a passing deadline ends ends nothing else. net/http sets
// such a deadline to interrupt its own read.
func TestWatchedDeadline(t *testing.T) {
	withWatched(t, echo, func(w *watched) {
		for range 2 {
			w.send("/1s")
			time.Sleep(500 * time.Millisecond)
			w.listener.SetReadDeadline(time.Unix(1, 0))
			synctest.Wait()
			w.listener.SetReadDeadline(time.Time{})
			w.receive("/1s")
		}
	})
}

// TestWatchedAtRandom tests that requests are answered in order and whole, however long they take and
// in whatever pieces they come, also before their turn.
func TestWatchedAtRandom(t *testing.T) {
	withWatched(t, echo, func(w *watched) {
		random := rand.New(rand.NewPCG(1, 2))
		pause := func() { time.Sleep(time.Duration(random.Int64N(int64(4 * watchDelay)))) }
		var text strings.Builder
		var paths []string
		for range 3000 {
			path := fmt.Sprintf("/%dms", random.IntN(120)*random.IntN(2))
			paths = append(paths, path)
			fmt.Fprintf(&text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
		}
		go func() {
			for rest := text.String(); rest != ""; pause() {
				n := min(1+random.IntN(200), len(rest))
				if _, err := io.WriteString(w, rest[:n]); err != nil {
					w.Error(err)
					return
				}
				rest = rest[n:]
			}
		}()
		for _, path := range paths {
			w.receive(path)
		}
	})
}

// TestWatchedHijack tests that a handler which takes the connection over gets the byte, too.
func TestWatchedHijack(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Second)
		c, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		data := make([]byte, 5)
		if _, err := io.ReadFull(buffered, data); err != nil || string(data) != "hello" {
			t.Errorf("%q, %v", data, err)
		}
	}
	withWatched(t, handler, func(w *watched) {
		w.send("/")
		time.Sleep(100 * time.Millisecond)
		if _, err := io.WriteString(w, "hello"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}

// TestWatchedConnectionIdles tests that the server's deadlines hold for a read that began before them,
// and that nothing of one is left on the next request.
func TestWatchedConnectionIdles(t *testing.T) {
	withWatched(t, echo, func(w *watched) {
		w.send("/1s")
		w.receive("/1s")
		time.Sleep(idleTimeout - time.Second)
		w.send("/1h")
		w.receive("/1h")
		began := time.Now()
		if _, err := w.answers.ReadByte(); err != io.EOF || time.Since(began) != idleTimeout {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
