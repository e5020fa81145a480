package inbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// BodyChunkTimeout is the time in which an app must send BodyChunk bytes of a body, or its
// end. A time in which nobody reads the body does not count.
const (
	BodyChunkTimeout = 60 * time.Second
	BodyChunk        = 1 << 10
)

// Deadlines and limits that a client cannot evade. There is none on a whole
// request or answer, because that would cut streams.
const (
	headerTimeout = 10 * time.Second // to send a request's header
	idleTimeout   = 2 * time.Minute  // between two requests
	writeIdle     = time.Minute      // to take some of an answer
	maxHeader     = 1 << 20          // of a request, its query among it
	lingerIdle    = 5 * time.Second  // to send more after an answer that closes the connection
	lingerMost    = 30 * time.Second // in all
	cutTimeout    = time.Second      // for the handlers of requests that were cut off to return

	// writeBuffer bounds what the kernel keeps of an answer for an app, which is
	// near: by default it takes some MiB for each that reads slowly, and
	// a thousand of them starve the others of processors and socket memory.
	writeBuffer = 256 << 10
)

// A Server serves one listener. Get it from [NewServer].
type Server struct {
	handler http.Handler
	limiter *ConnLimiter
	log     *zap.Logger
	http    *http.Server
	cut     context.CancelCauseFunc // ends every request's context
	refused func(Refused) *Problem  // see OnRefused; may be nil

	draining atomic.Bool
	ended    atomic.Bool // what is in flight is cut off
	mu       sync.Mutex
	inFlight int
	empty    chan struct{} // closed when draining and nothing is in flight
}

type (
	lateKey struct{} // in the context of a connection that came while draining
	connKey struct{} // of the *Conn
)

// NewServer returns a server that passes requests on to handler. A nil limiter is
// without limits; a nil log logs nothing.
func NewServer(handler http.Handler, limiter *ConnLimiter, log *zap.Logger) *Server {
	if log == nil {
		log = zap.NewNop()
	}
	stdlog, _ := zap.NewStdLogAt(log, zap.DebugLevel)
	life, cut := context.WithCancelCause(context.Background())
	s := &Server{handler: handler, limiter: limiter, log: log, cut: cut, empty: make(chan struct{})}
	s.http = &http.Server{
		Handler:                      http.HandlerFunc(s.serve),
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		ErrorLog:                     stdlog,
		BaseContext:                  func(net.Listener) context.Context { return life },
		ConnContext:                  s.connContext,
		ConnState:                    connState,
		DisableGeneralOptionsHandler: true,
	}
	return s
}

func (s *Server) connContext(ctx context.Context, c net.Conn) context.Context {
	conn := c.(*Conn)
	ctx, conn.watch.gone = context.WithCancel(context.WithValue(ctx, connKey{}, conn))
	if s.draining.Load() {
		return context.WithValue(ctx, lateKey{}, true)
	}
	return ctx
}

func connState(c net.Conn, state http.ConnState) {
	if state != http.StateIdle { // which comes when the answer's last byte is written
		return
	}
	conn := c.(*Conn)
	conn.serving.Store(false)
	conn.sendDue.clear()
	conn.releaseHeader(false)
	conn.slot.waitForRequest()
}

// Serve serves l until Drain; it closes l, and returns nil then.
func (s *Server) Serve(l net.Listener) error { return s.ServeTLS(l, nil) }

// ServeTLS is Serve for connections that speak TLS. The requests have their TLS field. A nil
// config is without TLS.
func (s *Server) ServeTLS(l net.Listener, config *tls.Config) error {
	err := s.http.Serve(&listener{
		Listener: l,
		limiter:  s.limiter,
		draining: &s.draining,
		ended:    &s.ended,
		closed:   make(chan struct{}),
		tls:      config,
		refused:  s.refused,
		log:      s.log,
	})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	conn := r.Context().Value(connKey{}).(*Conn)
	conn.serving.Store(true)
	if !conn.slot.busy() {
		panic(http.ErrAbortHandler) // no answer could come back
	}
	conn.readPeer()
	r.TLS = conn.peer.tls
	s.begin()
	defer s.end()
	defer s.logPanic()
	expects := r.Header["Expect"] != nil
	if r.ContentLength != 0 && (expects || !conn.Arrived()) { // the server reads a body that nobody wants
		control := http.NewResponseController(w)
		control.SetReadDeadline(time.Now().Add(BodyChunkTimeout))
		defer func() { conn.sendDue.set(time.Now()) }()
		if expects {
			body := &ExpectedBody{ReadCloser: r.Body}
			r = r.WithContext(r.Context())
			r.Body = body
			defer body.abandon(control)
		}
	}
	if r.ProtoMajor != 1 { // the preface of HTTP/2
		s.refuse(w, r, NewProblem(http.StatusHTTPVersionNotSupported, "not_implemented", "The request cannot be read",
			"only HTTP/1.1 is spoken"))
		return
	}
	if s.draining.Load() {
		if r.Context().Value(lateKey{}) != nil {
			s.refuse(w, r, NewProblem(http.StatusServiceUnavailable, "draining", "Shutting down",
				"this instance takes no new connections"))
			return
		}
		w.Header().Set("Connection", "close")
	}
	s.handler.ServeHTTP(w, r)
}

// logPanic logs a panic of a handler, and has net/http close the connection. The
// value of the panic may hold anything, so only a runtime error's is logged.
func (s *Server) logPanic() {
	switch p := recover(); p := p.(type) {
	case nil:
	case runtime.Error:
		s.log.Error("handler panicked", zap.Error(p), zap.ByteString("stack", debug.Stack()))
		panic(http.ErrAbortHandler)
	default:
		if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			s.log.Error(
				"handler panicked",
				zap.String("value", fmt.Sprintf("a %T", p)),
				zap.ByteString("stack", debug.Stack()),
			)
		}
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight++
}

func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	s.noteEmpty()
}

func (s *Server) noteEmpty() {
	if !s.draining.Load() || s.inFlight > 0 {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

// Drain ends the server: requests in flight are finished, new connections are
// told that it is draining, and when ctx is done all is cut off, which is an
// error.
func (s *Server) Drain(ctx context.Context) error {
	defer s.cut(nil)
	s.mu.Lock()
	s.draining.Store(true)
	s.noteEmpty()
	s.mu.Unlock()
	select {
	case <-s.empty:
	case <-ctx.Done():
		select {
		case <-s.empty:
		default:
			return errors.Join(errCut, s.cutOff())
		}
	}
	if s.http.Shutdown(ctx) == nil {
		return nil
	}
	return s.http.Close() // connections without a request
}

// cutOff ends all requests, and waits for their handlers, which record them. Upgraded connections
// are not the http.Server's to close: their handlers end them.
func (s *Server) cutOff() error {
	s.ended.Store(true)
	s.cut(Cut("it outlasted the drain"))
	err := s.http.Close()
	select {
	case <-s.empty:
	case <-time.After(cutTimeout):
	}
	return err
}

var errCut = errors.New("requests in flight were cut off: they outlasted the drain")
