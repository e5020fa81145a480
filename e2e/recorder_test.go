package e2e

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// A recorder is a server that records every request. Like an API with a permissive
// CORS policy it allows every page everything, so that only the proxy protects it.
type recorder struct {
	*httptest.Server
	secret string            // body of every answer
	pages  map[string]string // HTML by path; not changed while serving

	mu   sync.Mutex
	seen []*http.Request
}

// startRecorder listens at an address until the test ends.
func startRecorder(t *testing.T, address, secret string) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{secret: secret, pages: map[string]string{}}
	r.Server = httptest.NewUnstartedServer(r)
	r.Listener.Close()
	r.Listener = l
	r.Start()
	t.Cleanup(r.stop)
	return r
}

// ServeHTTP implements http.Handler.
func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.seen = append(r.seen, req)
	r.mu.Unlock()
	io.Copy(io.Discard, req.Body)
	allowCORS(w, req)
	if page, ok := r.pages[req.URL.Path]; ok {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, page)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, r.secret)
}

// stop frees the address at once. httptest.Server.Close would wait for the
// connections that a browser opens in advance.
func (r *recorder) stop() { r.Config.Close() }

// allowCORS allows the page whatever it requests.
func allowCORS(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Allow-Methods", r.Header.Get("Access-Control-Request-Method"))
		h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
		h.Set("Access-Control-Allow-Private-Network", "true")
		h.Set("Access-Control-Max-Age", "0")
	}
}

// requests returns the requests so far.
func (r *recorder) requests() []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*http.Request(nil), r.seen...)
}

// address returns the listener's address.
func (r *recorder) address() string { return r.Listener.Addr().String() }
