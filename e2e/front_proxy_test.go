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

// A frontProxy is a reverse proxy before a provider's API. It records requests and
// answers. It adds a redirect and a streamed answer, which the sandbox's APIs lack.
type frontProxy struct {
	*httptest.Server
	redirectTo string        // target path of frontRedirect
	release    chan struct{} // each value lets one streamed answer end

	mu     sync.Mutex
	served []served
}

const (
	frontRedirect = "/front/moved"
	frontStream   = "/front/streamed"
)

// served is a request and its answer.
type served struct {
	method string
	header http.Header
	length int64 // Content-Length; -1 when chunked
	body   digest
	status int
	answer digest
}

// A digest identifies a body.
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
		r.Out.Host = r.In.Host // the API builds links with it
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

// since returns what was served after the first n requests, without 401 answers.
// The program retries those, so that no client gets one in these tests.
func (f *frontProxy) since(n int) []served {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.served[n:]), func(s served) bool {
		return s.status == http.StatusUnauthorized
	})
}

func (f *frontProxy) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.served)
}

// A digester computes the digest of what is read through it or added to it.
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

// A digestWriter computes the digest of an answer.
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
