package proxy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	logged "go.uber.org/zap/zaptest/observer"

	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/upstream"
)

// A recorder notes what is wrong with the requests that reach the API.
type recorder struct {
	mu    sync.Mutex
	wrong []string
}

func (r *recorder) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, what)
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	wrong := r.wrong
	r.wrong = nil
	return wrong
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Host != "api.test" {
		r.note("Host " + req.Host + " for " + req.RequestURI)
	}
	if req.URL.Opaque != "" {
		r.note("target " + req.RequestURI)
	}
	if got := req.Header["Authorization"]; len(got) != 1 || !strings.HasPrefix(got[0], "Bearer access-token-") {
		r.note("Authorization " + strings.Join(got, ", "))
	}
	if len(req.Header["Authorization"]) == 1 && req.Header.Get("Authorization") == bearer(1) {
		w.WriteHeader(http.StatusUnauthorized)
	}
	io.Copy(io.Discard, req.Body)
}

// FuzzRequest sends raw bytes to the proxy. It checks that every request that reaches the
// API has our token once, and the API's Host.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /a?b=c;d HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\nauthorization: y\r\n\r\n",
		"GET http://localhost/a HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"GET http:evil.example/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET //evil.example/a|b HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET a:http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n1\r\na\r\n0\r\nAuthorization: z\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
		"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Authorization, Host, Upgrade\r\nUpgrade: x\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	seen := new(recorder)
	core, logs := logged.New(zapcore.DebugLevel)
	w := begin(f, seen, func(w *fixture) {
		w.upstream.Transport = upstream.New(upstream.Config{Timeout: time.Minute, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "api.test:80" {
				seen.note("dialled " + address)
			}
			return w.back.DialContext(ctx, network, address)
		}})
	})
	w.server = inbound.NewServer(proxy.NewHandler(proxy.HandlerConfig{Guard: w.guard, Budget: proxy.NewReplayBudget()}, *w.upstream), nil, zap.New(core))
	w.front = listen(f)
	w.serve()
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := w.front.DialContext(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			c.Write(raw)
			c.(*net.TCPConn).CloseWrite()
		}()
		answer, err := io.ReadAll(c)
		if err, ok := err.(net.Error); ok && err.Timeout() {
			t.Errorf("no end after %q", answer)
		}
		for _, what := range seen.take() {
			t.Errorf("the API saw %s", what)
		}
		for _, e := range logs.TakeAll() {
			if strings.Contains(e.Message, "panic") {
				t.Error(e.Message)
			}
		}
	})
}
