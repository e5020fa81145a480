package proxy

import (
	"context"
	"net"
	"net/http"
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
	maxHeader     = 64 << 10
)

// A Server serves one listener. Its exported fields are set before Serve.
type Server struct {
	Handler http.Handler
	Log     *zap.Logger

	once     sync.Once
	server   *http.Server
	draining atomic.Bool
	mu       sync.Mutex
	inFlight int
	empty    chan struct{} // closed when draining and nothing is in flight
}

type lateKey struct{}

func (s *Server) init() {
	s.once.Do(func() {
		if s.Log == nil {
			s.Log = zap.NewNop()
		}
		stdlog, _ := zap.NewStdLogAt(s.Log, zap.DebugLevel)
		s.empty = make(chan struct{})
		s.server = &http.Server{
			Handler:           http.HandlerFunc(s.serve),
			ReadHeaderTimeout: headerTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          stdlog,
			ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
				if s.draining.Load() {
					return context.WithValue(ctx, lateKey{}, true)
				}
				return ctx
			},
			DisableGeneralOptionsHandler: true,
		}
	})
}

// Serve serves l until Drain or Close; it closes l, and returns nil then.
func (s *Server) Serve(l net.Listener) error {
	s.init()
	if err := s.server.Serve(patient{l}); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.begin()
	defer s.end()
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
// told that it is draining, and when ctx is done all is cut off.
func (s *Server) Drain(ctx context.Context) error {
	s.init()
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
	return s.server.Close()
}

// patient is a listener whose connections give every write a deadline of its
// own, so that a client which stops reading does not hold an answer for ever.
type patient struct{ net.Listener }

func (l patient) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return patientConn{c}, nil
}

type patientConn struct{ net.Conn }

func (c patientConn) Write(p []byte) (int, error) {
	c.Conn.SetWriteDeadline(time.Now().Add(writeIdle))
	return c.Conn.Write(p)
}
