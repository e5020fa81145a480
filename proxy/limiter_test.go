package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	zaplog "go.uber.org/zap/zaptest/observer"

	"ticketproxy/proxy/inbound"
)

func withSlots(slots int) func(*fixture) {
	return func(w *fixture) { w.limiter = inbound.NewConnLimiter(slots, 16<<20, zap.NewNop()) }
}

func (c *appConn) get() *http.Response {
	c.w.Helper()
	c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	res := c.receive("GET")
	read(c.w, res)
	return res
}

// gone reports whether the connection was closed, without waiting.
func (c *appConn) gone() bool {
	c.SetReadDeadline(time.Now().Add(time.Nanosecond))
	_, err := c.r.ReadByte()
	c.SetReadDeadline(time.Time{})
	return err == io.EOF
}

// A full limiter is logged once a minute, not with each newcomer.
func TestFullLimiterIsLogged(t *testing.T) {
	virtual(t, func(t *testing.T) {
		core, logs := zaplog.New(zap.InfoLevel)
		api := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(10 * time.Second) })
		w := beginVirtual(t, api, func(w *fixture) { w.limiter = inbound.NewConnLimiter(1, 1<<20, zap.New(core)) })
		w.dial().get()
		is(t, "logged before", logs.Len(), 0)
		for range 9 {
			go func() {
				c, err := w.front.DialContext(context.Background(), "", "")
				if err != nil {
					return
				}
				defer c.Close()
				io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
				io.Copy(io.Discard, c)
			}()
		}
		time.Sleep(59 * time.Second)
		is(t, "logged", logs.Len(), 1)
		is(t, "connections", logs.All()[0].ContextMap()["connections"], any(int64(1)))
		time.Sleep(time.Minute)
		is(t, "logged again", logs.Len(), 2)
	})
}

func TestNewcomerTakesTheSlotThatWaitedLongest(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.NotFoundHandler(), withSlots(3))
		silent, slow, kept := w.dial(), w.dial(), w.dial()
		slow.send("GET / HTTP/1.1\r\nHost: loc")
		synctest.Wait()
		kept.get()
		began := time.Now()
		for i, evicted := range []*appConn{silent, slow, kept} {
			newcomer := w.dial()
			is(t, fmt.Sprint("newcomer ", i), newcomer.get().StatusCode, 404)
			if !evicted.gone() {
				t.Errorf("newcomer %d has not taken the slot of the one that waited longest", i)
			}
		}
		is(t, "until all were evicted", time.Since(began), 250*time.Millisecond)
	})
}

func TestAppIsServedAmongSlowHeaders(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.NotFoundHandler(), withSlots(8))
		honest := w.dial()
		for range 50 {
			is(t, "status", honest.get().StatusCode, 404)
			for range 5 {
				w.dial().send("GET / HTTP/1.1\r\nHost: loc")
			}
			synctest.Wait()
		}
	})
}

func TestRequestThatIsServedKeepsItsSlot(t *testing.T) {
	virtual(t, func(t *testing.T) {
		long := strings.Repeat("x", 1<<20)
		w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			io.WriteString(w, long)
		}), withSlots(2))
		answers := make(chan string, 6)
		for range 6 { // two at a time
			go func() {
				_, body := w.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
				answers <- body
			}()
		}
		began := time.Now()
		for range 6 {
			if body := <-answers; body != long {
				t.Errorf("%d bytes came, want %d", len(body), len(long))
			}
		}
		is(t, "all were answered after", time.Since(began), 3*time.Second)
	})
}

// An app that holds up its own request loses its slot to a newcomer. An app that waits
// for the API keeps its slot.
func TestNewcomerTakesTheSlotOfTheSlowest(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/long":
			http.NewResponseController(w).Flush()
			time.Sleep(time.Millisecond) // see TestReaderThatStopsIsCut
			io.WriteString(w, long)
		case "/slow":
			time.Sleep(30 * time.Second)
		}
	})
	drip := func(c *appConn, text string) {
		for {
			time.Sleep(3 * time.Second)
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
	for name, tt := range map[string]struct {
		request string
		drip    string
		after   time.Duration
	}{
		"a body that stops":          {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc", "", 5 * time.Second},
		"a body that drips":          {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc", "a", 5 * time.Second},
		"a body that was refused":    {"POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000\r\n\r\nabc", "", 5 * time.Second},
		"a body that is merely slow": {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20480\r\n\r\n", strings.Repeat("a", 2048), 30 * time.Second},
		"a reader that stops":        {"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n", "", 5 * time.Second},
		"an app that waits":          {"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n", "", 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				w := beginVirtual(t, api, withSlots(1))
				first := w.dial()
				began := time.Now()
				first.send("%s", tt.request)
				if name == "a reader that stops" {
					first.receive("GET")
				}
				if tt.drip != "" {
					go drip(first, tt.drip)
				}
				time.Sleep(time.Second)
				if tt.after > slowPatience {
					go func() { first.receive("GET"); first.Close() }()
				}
				newcomer := w.dial()
				is(t, "status", newcomer.get().StatusCode, 200)
				if took := time.Since(began); took < tt.after || took > tt.after+2*time.Second {
					t.Errorf("served after %v, want %v", took, tt.after)
				}
				newcomer.Close()
				first.Close()
				time.Sleep(10 * time.Second) // until drip has ended
			})
		})
	}
}

const slowPatience = 5 * time.Second

// Many slow apps evict one another, too.
func TestManySlowBodiesAreEvicted(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }), withSlots(10))
		began := time.Now()
		for range 25 {
			go func() {
				c, err := w.front.DialContext(context.Background(), "", "")
				if err != nil {
					return
				}
				defer c.Close()
				io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
				io.Copy(io.Discard, c)
			}()
		}
		time.Sleep(time.Second)
		is(t, "status", w.dial().get().StatusCode, 200)
		if took := time.Since(began); took > 2*slowPatience+2*time.Second { // ten at a time
			t.Errorf("served after %v", took)
		}
		time.Sleep(time.Minute)
	})
}

func TestDrainDoesNotWaitForNewcomers(t *testing.T) {
	virtual(t, func(t *testing.T) {
		hold := make(chan bool)
		w := beginVirtual(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }), withSlots(1))
		served := w.dial()
		served.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		synctest.Wait()
		newcomer := w.dial()
		synctest.Wait()
		drained := make(chan error)
		go func() { drained <- w.server.Drain(context.Background()) }()
		synctest.Wait()
		hold <- true
		began := time.Now()
		is(t, "status", served.receive("GET").StatusCode, 200)
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if err := <-w.served; err != nil {
			t.Error(err)
		}
		if _, err := io.Copy(io.Discard, newcomer.r); err != nil {
			t.Errorf("newcomer: %v", err)
		}
		is(t, "newcomer's connection was closed soon", time.Since(began) < 10*time.Second, true) // Shutdown gives it 5 s to send a request
	})
}
