package proxy_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"ticketproxy/proxy"
)

func TestTransportIsReplacedByAge(t *testing.T) {
	virtual(t, func(t *testing.T) {
		made := 0
		w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Minute)
			}
			io.WriteString(w, "done")
		}), func(w *fixture) {
			inner := w.upstream.Transport
			transport := proxy.NewMaxAgeTransport(func() *http.Transport {
				made++
				return inner.(*http.Transport).Clone()
			})
			w.upstream.Transport = transport
			t.Cleanup(transport.CloseIdleConnections)
		})
		slow := w.dial()
		slow.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
		answer := make(chan string, 1)
		go func() { answer <- read(t, slow.receive("GET")) }()
		for minute := range 11 {
			c := w.dial()
			c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			is(t, "answer", read(t, c.receive("GET")), "done")
			if want := 1 + minute/5; made != want {
				t.Errorf("%d transports after %d minutes, want %d", made, minute, want)
			}
			c.Close()
			time.Sleep(time.Minute)
		}
		is(t, "slow answer", <-answer, "done")
	})
}

// Leave replaces the transport at once.
func TestLeaveReplacesTheTransport(t *testing.T) {
	t.Parallel()
	made := 0
	transport := proxy.NewMaxAgeTransport(func() *http.Transport {
		made++
		return new(http.Transport)
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:0/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for range 2 {
			if _, err := transport.RoundTrip(req); err == nil {
				t.Fatal("port 0 answers")
			}
		}
		transport.Leave()
	}
	is(t, "transports", made, 2)
}

// Idle connections can be closed at any time, also before the first request.
func TestMaxAgeTransportClosesIdleConnections(t *testing.T) {
	t.Parallel()
	closed := make(chan bool, 1)
	api := httptest.NewUnstartedServer(http.NotFoundHandler())
	api.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- true
		}
	}
	api.Start()
	defer api.Close()
	transport := proxy.NewMaxAgeTransport(func() *http.Transport { return new(http.Transport) })
	transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	transport.CloseIdleConnections()
	<-closed
}
