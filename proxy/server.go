package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Deadlines and limits that a client cannot evade. There is none on a whole
// request or answer, for that would cut streams.
const (
	headerTimeout = 10 * time.Second // to send a request's header
	idleTimeout   = 2 * time.Minute  // between two requests
	writeIdle     = time.Minute      // to take some of an answer
	maxHeader     = 1 << 20          // of a request, its query among it

	// writeBuffer bounds what the kernel keeps of an answer for an app, which is
	// near: of its own accord it takes some MiB for each that reads slowly, and
	// a thousand of them starve the others of processors and socket memory.
	writeBuffer = 256 << 10
)

// A Server serves one listener. Its exported fields are set before Serve.
type Server struct {
	Handler http.Handler
	Room    *Room // for connections; without bounds when nil
	Log     *zap.Logger

	once     sync.Once
	server   *http.Server
	cut      context.CancelFunc // ends every request's context
	draining atomic.Bool
	mu       sync.Mutex
	inFlight int
	empty    chan struct{} // closed when draining and nothing is in flight
}

type (
	lateKey struct{}
	connKey struct{}
)

func (s *Server) init() {
	s.once.Do(func() {
		if s.Log == nil {
			s.Log = zap.NewNop()
		}
		stdlog, _ := zap.NewStdLogAt(s.Log, zap.DebugLevel)
		s.empty = make(chan struct{})
		life, cut := context.WithCancel(context.Background())
		s.cut = cut
		s.server = &http.Server{
			Handler:           http.HandlerFunc(s.serve),
			ReadHeaderTimeout: headerTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          stdlog,
			BaseContext:       func(net.Listener) context.Context { return life },
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				ctx = context.WithValue(ctx, connKey{}, c)
				if s.draining.Load() {
					return context.WithValue(ctx, lateKey{}, true)
				}
				return ctx
			},
			ConnState: func(c net.Conn, state http.ConnState) {
				if state == http.StateIdle { // the answer's last byte is written
					conn := c.(*patientConn)
					conn.serving.Store(false)
					conn.sends.done()
					conn.place.wait()
				}
			},
			DisableGeneralOptionsHandler: true,
		}
	})
}

// Serve serves l until Drain; it closes l, and returns nil then.
func (s *Server) Serve(l net.Listener) error {
	s.init()
	if err := s.server.Serve(&patient{Listener: l, room: s.Room, draining: &s.draining, closed: make(chan struct{})}); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	conn := r.Context().Value(connKey{}).(*patientConn)
	conn.serving.Store(true)
	if !conn.place.serve() {
		panic(http.ErrAbortHandler) // no answer could come back
	}
	s.begin()
	defer s.end()
	if r.ContentLength != 0 { // the server reads a body that nobody wants
		control := http.NewResponseController(w)
		control.SetReadDeadline(time.Now().Add(bodyIdle))
		defer func() { conn.sends.from(time.Now()) }()
		if r.Header["Expect"] != nil {
			body := &expected{ReadCloser: r.Body}
			r = r.WithContext(r.Context())
			r.Body = body
			defer body.forgo(control)
		}
	}
	if r.ProtoMajor != 1 { // the preface of HTTP/2
		w.Header().Set("Connection", "close")
		newProblem(http.StatusHTTPVersionNotSupported, "not_implemented", "The request cannot be read", "only HTTP/1.1 is spoken").Answer(w)
		return
	}
	if s.draining.Load() {
		w.Header().Set("Connection", "close")
		if r.Context().Value(lateKey{}) != nil {
			newProblem(http.StatusServiceUnavailable, "draining", "Shutting down", "this instance takes no new connections").Answer(w)
			return
		}
	}
	s.Handler.ServeHTTP(w, r)
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
	s.init()
	defer s.cut() // upgraded connections are not the http.Server's to close
	s.mu.Lock()
	s.draining.Store(true)
	s.noteEmpty()
	s.mu.Unlock()
	select {
	case <-s.empty:
		if err := s.server.Shutdown(ctx); err == nil {
			return nil
		}
	case <-ctx.Done():
	}
	return errors.Join(errCut, s.server.Close())
}

var errCut = errors.New("requests in flight were cut off: they outlasted the drain")

// patient is a listener whose connections cut off a client that takes nothing
// of an answer for writeIdle, and never one that is merely slow. They refuse a
// request that is framed in two ways. Each has a place in the room.
type patient struct {
	net.Listener
	room     *Room
	draining *atomic.Bool
	once     sync.Once
	closed   chan struct{}
}

func (l *patient) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(writeBuffer)
	}
	conn := &patientConn{Conn: c, drain: l.draining}
	if l.room != nil {
		if conn.place = l.room.enter(conn, l.closed); conn.place == nil {
			c.Close()
			return nil, net.ErrClosed
		}
	}
	return conn, nil
}

func (l *patient) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type patientConn struct {
	net.Conn
	drain *atomic.Bool // of the server; may be nil
	// Since when the app is due to send bodyLeast of a body, and to take what is
	// written of an answer.
	sends, takes due
	place        *place
	framing      framing     // used by one Read at a time
	serving      atomic.Bool // a request, or another protocol: what is written is a handler's
}

// draining reports whether the connection should not be used again.
func (c *patientConn) draining() bool { return c.drain != nil && c.drain.Load() }

func (c *patientConn) Close() error {
	err := c.Conn.Close()
	c.place.leave()
	return err
}

func (c *patientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.framing.follow(p[:n])
	return n, err
}

func (c *patientConn) Write(p []byte) (int, error) {
	if c.serving.Load() {
		return c.write(p)
	}
	if ours := refusal(p, c.framing.twofold); ours != nil {
		_, err := c.write(ours)
		return len(p), err
	}
	return c.write(p)
}

func (c *patientConn) write(p []byte) (int, error) {
	defer c.takes.done()
	for written := 0; ; {
		now := time.Now()
		c.takes.from(now)
		c.Conn.SetWriteDeadline(now.Add(writeIdle))
		n, err := c.Conn.Write(p[written:])
		written += n
		if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return written, err
		}
	}
}

// CloseWrite ends an answer while the app still sends: closing outright would
// reset the connection, and may take the answer with it.
func (c *patientConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
