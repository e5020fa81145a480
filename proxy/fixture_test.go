package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/upstream"
	"ticketproxy/secret"
)

// closeWriteAndWait goes on for half a second after its server has ended.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// A network is a listener that can be dialled.
type network interface {
	net.Listener
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// loopback is a network of real sockets.
type loopback struct{ net.Listener }

func listen(t testing.TB) loopback {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return loopback{l}
}

func (l loopback) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
}

// memory is a network for virtual time. Its connections are net.Pipes, in which a write
// waits for its reader.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemory() *memory { return &memory{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (m *memory) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case m.conns <- there:
		return here, nil
	case <-m.closed:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: errors.New("connection refused")}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: ctx.Err()}
	}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// A source is a TokenSource whose generation n has the token token(n). It begins with
// generation 1.
type source struct {
	mu         sync.Mutex
	generation uint64
	renewals   int // calls of Renew
	refreshes  int // that these caused
	err        error
	refresh    func(ctx context.Context) error // is called by Renew; may be nil
	fixed      bool                            // each generation has the same access token
	paused     bool                            // no refresh may be made
	refused    []uint64                        // generations passed to Refused
}

func newSource() *source { return &source{generation: 1} }

func token(generation uint64) string { return fmt.Sprintf("access-token-%d", generation) }

func bearer(generation uint64) string { return "Bearer " + token(generation) }

func (s *source) current() proxy.Token {
	if s.fixed {
		return proxy.Token{AccessToken: secret.New(token(1)), Generation: s.generation}
	}
	return proxy.Token{AccessToken: secret.New(token(s.generation)), Generation: s.generation}
}

func (s *source) Token(context.Context) (proxy.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current(), s.err
}

func (s *source) Renew(ctx context.Context, rejected proxy.Token) (proxy.Token, error) {
	if s.refresh != nil {
		if err := s.refresh(ctx); err != nil {
			return proxy.Token{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewals++
	if s.err == nil && rejected.Generation == s.generation && !s.paused {
		s.generation++
		s.refreshes++
	}
	return s.current(), s.err
}

func (s *source) Refused(token proxy.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = append(s.refused, token.Generation)
}

func (s *source) counts() (renewals, refreshes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewals, s.refreshes
}

// An observer records what it is told.
type observer struct {
	mu        sync.Mutex
	inFlight  int
	exchanges []proxy.Exchange
	replays   []string
}

// observed is the key that Begin puts into a request's context.
type observed struct{}

func (o *observer) Begin(r *http.Request) (context.Context, func(proxy.Exchange)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inFlight++
	return context.WithValue(r.Context(), observed{}, true), func(e proxy.Exchange) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.inFlight--
		o.exchanges = append(o.exchanges, e)
	}
}

func (o *observer) Replayed(ctx context.Context, outcome string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ctx.Value(observed{}) == nil {
		outcome += " without the observer's context"
	}
	o.replays = append(o.replays, outcome)
}

func (o *observer) outcomes() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.replays, " ")
}

// A fixture is an app, the proxy and an API.
type fixture struct {
	testing.TB
	front, back network // the proxy's, the API's
	source      *source
	observer    *observer
	guard       *inbound.Guard
	upstream    *proxy.UpstreamConfig
	others      []proxy.UpstreamConfig
	limiter     *inbound.ConnLimiter
	gate        proxy.Gate     // nil unless a change sets it
	recorder    proxy.Recorder // the same
	server      *inbound.Server
	served      chan error   // what Serve returned
	app         *http.Client // follows no redirect and decompresses nothing
}

// begin starts a fixture on real sockets.
func begin(t testing.TB, api http.Handler, change ...func(*fixture)) *fixture {
	t.Helper()
	w := &fixture{TB: t, front: listen(t), back: listen(t)}
	w.serveAPI(api)
	w.start(change...)
	return w
}

// beginVirtual starts a fixture in memory, for synctest.
func beginVirtual(t testing.TB, api http.Handler, change ...func(*fixture)) *fixture {
	t.Helper()
	w := &fixture{TB: t, front: newMemory(), back: newMemory()}
	w.serveAPI(api)
	w.start(change...)
	return w
}

// beginRaw starts a fixture on real sockets. Its API is a function that handles one
// connection.
func beginRaw(t testing.TB, api func(net.Conn), change ...func(*fixture)) *fixture {
	t.Helper()
	w := &fixture{TB: t, front: listen(t), back: listen(t)}
	w.serveConns(api)
	w.start(change...)
	return w
}

func (w *fixture) serveAPI(api http.Handler) {
	server := &http.Server{Handler: api, DisableGeneralOptionsHandler: true, MaxHeaderBytes: 2 << 20}
	done := make(chan struct{})
	go func() { server.Serve(w.back); close(done) }()
	w.Cleanup(func() { server.Close(); <-done })
}

func (w *fixture) serveConns(api func(net.Conn)) {
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	all.Go(func() {
		for {
			c, err := w.back.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			all.Go(func() { defer c.Close(); api(c) })
		}
	})
	w.Cleanup(func() {
		w.back.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
}

func (w *fixture) start(change ...func(*fixture)) {
	w.Helper()
	transport := upstream.New(upstream.Config{Timeout: time.Minute, Dial: w.back.DialContext})
	w.source, w.observer, w.guard = newSource(), new(observer), new(inbound.Guard)
	w.upstream = &proxy.UpstreamConfig{Name: "park", Cookies: true, URL: parse(w, "http://api.test"), Source: w.source, Transport: transport, Observer: w.observer}
	for _, f := range change {
		f(w)
	}
	w.server = inbound.NewServer(proxy.NewHandler(proxy.HandlerConfig{Guard: w.guard, Budget: proxy.NewReplayBudget(), Gate: w.gate, Recorder: w.recorder}, append(w.others, *w.upstream)...), w.limiter, nil)
	w.serve()
	w.Cleanup(func() {
		transport.Close()
		if t, ok := w.upstream.Transport.(*upstream.Transport); ok {
			t.Close()
		}
	})
}

// serve starts the server and the app.
func (w *fixture) serve() {
	server, front, served := w.server, w.front, make(chan error, 1)
	w.served = served
	go func() { served <- server.Serve(front) }()
	apps := &http.Transport{DialContext: front.DialContext, DisableCompression: true, MaxIdleConnsPerHost: 64, ExpectContinueTimeout: time.Minute}
	w.app = &http.Client{Transport: apps, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	w.Cleanup(func() {
		apps.CloseIdleConnections()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		server.Drain(ctx)
		front.Close()
	})
}

func parse(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// dial opens an app's connection.
func (w *fixture) dial() *appConn {
	w.Helper()
	c, err := w.front.DialContext(context.Background(), "tcp", "")
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	return &appConn{w, c, bufio.NewReader(c)}
}

// An appConn is an app's connection, on which a test writes bytes.
type appConn struct {
	w *fixture
	net.Conn
	r *bufio.Reader
}

func (c *appConn) send(format string, args ...any) {
	c.w.Helper()
	if _, err := fmt.Fprintf(c.Conn, format, args...); err != nil {
		c.w.Fatal(err)
	}
}

// receive reads an answer's header. Its body must be read before the next answer.
func (c *appConn) receive(method string) *http.Response {
	c.w.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.w.Fatal(err)
	}
	return res
}

// ask sends raw bytes on a new connection and returns the whole answer.
func (w *fixture) ask(raw string) (*http.Response, string) {
	w.Helper()
	c := w.dial()
	defer c.Close()
	c.send("%s", raw)
	method, _, _ := strings.Cut(raw, " ")
	res := c.receive(method)
	return res, read(w, res)
}

// raw sends raw bytes on a new connection and returns all bytes that come.
func (w *fixture) raw(request string) string {
	w.Helper()
	c := w.dial()
	defer c.Close()
	c.send("%s", request)
	all, err := io.ReadAll(c.r)
	if err != nil {
		w.Fatal(err)
	}
	return string(all)
}

// do sends a request with the app's client and returns the whole answer.
func (w *fixture) do(method, target string, body io.Reader, header ...string) (*http.Response, string) {
	w.Helper()
	res := w.open(method, target, body, header...)
	return res, read(w, res)
}

// open sends a request and returns the answer once its header has come.
func (w *fixture) open(method, target string, body io.Reader, header ...string) *http.Response {
	w.Helper()
	req, err := http.NewRequest(method, "http://localhost"+target, body)
	if err != nil {
		w.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := w.app.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { res.Body.Close() })
	return res
}

func read(t testing.TB, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("reading the body: %v (got %d bytes)", err, len(b))
	}
	return string(b)
}

func is[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
