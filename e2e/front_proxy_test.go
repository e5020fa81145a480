package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// A front stands before a provider's API. It notes what comes and what is
// answered, and adds what no API of the sandbox has: a redirect, and an answer
// that comes in pieces.
type frontProxy struct {
	*httptest.Server
	redirectTo string        // where frontRedirect leads
	release    chan struct{} // has a value for each answer that may end

	mu     sync.Mutex
	served []served
}

const (
	frontRedirect = "/front/moved"
	frontStream   = "/front/streamed"
)

// served is a request, and its answer.
type served struct {
	method string
	header http.Header
	length int64 // announced; -1 in chunks
	body   digest
	status int
	answer digest
}

// A digest tells one body from another.
type digest struct {
	bytes  int64
	sha256 string
}

func startFrontProxy(t *testing.T, api, redirectTo string) *frontProxy {
	t.Helper()
	to, err := url.Parse(api)
	if err != nil {
		t.Fatal(err)
	}
	behind := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // for the links that the API makes
	}}
	f := &frontProxy{redirectTo: redirectTo, release: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc(frontRedirect, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://"+r.Host+f.redirectTo)
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc(frontStream, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "one\n")
		http.NewResponseController(w).Flush()
		select {
		case <-f.release:
			io.WriteString(w, "two\nthree\n")
		case <-r.Context().Done():
		}
	})
	mux.Handle("/", behind)
	f.Server = httptest.NewServer(f.record(mux))
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

func (f *frontProxy) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := &digester{from: r.Body, hash: sha256.New()}
		answer := &digestWriter{ResponseWriter: w, digester: digester{hash: sha256.New()}, status: http.StatusOK}
		s := served{method: r.Method, header: r.Header.Clone(), length: r.ContentLength}
		r.Body = body
		next.ServeHTTP(answer, r)
		io.Copy(io.Discard, body)
		s.body, s.status, s.answer = body.sum(), answer.status, answer.sum()
		f.mu.Lock()
		defer f.mu.Unlock()
		f.served = append(f.served, s)
	})
}

// since returns what was served after the first n requests, but for 401: the
// program heals those unseen, and no client gets one here.
func (f *frontProxy) since(n int) []served {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.served[n:]), func(s served) bool { return s.status == http.StatusUnauthorized })
}

func (f *frontProxy) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.served)
}

// A digester sums up what is read through it, or written to it.
type digester struct {
	from  io.ReadCloser
	hash  hash.Hash
	bytes int64
}

func (d *digester) Read(p []byte) (int, error) {
	n, err := d.from.Read(p)
	d.add(p[:n])
	return n, err
}

func (d *digester) Close() error { return d.from.Close() }

func (d *digester) add(p []byte) {
	d.hash.Write(p)
	d.bytes += int64(len(p))
}

func (d *digester) sum() digest { return digest{d.bytes, hex.EncodeToString(d.hash.Sum(nil))} }

// digestWriter is an answer that is summed up.
type digestWriter struct {
	http.ResponseWriter
	digester
	status int
}

func (n *digestWriter) WriteHeader(status int) {
	n.status = status
	n.ResponseWriter.WriteHeader(status)
}

func (n *digestWriter) Write(p []byte) (int, error) {
	n.add(p)
	return n.ResponseWriter.Write(p)
}

func (n *digestWriter) Unwrap() http.ResponseWriter { return n.ResponseWriter }
