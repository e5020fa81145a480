package proxy

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// What an answer's header takes of memory, in bytes, its interim answers
// included. Each line is kept in three maps: net/http's of the answer, that of
// the answer to the app, and the server's copy of it.
const (
	answerByteTakes = 2
	answerLineTakes = 300
	answerFree      = 16 << 10 // of each, which is counted with its connection
	answerMost      = 1 << 20  // of one
)

// answerWait is how long a long header waits for memory that others have.
const answerWait = 5 * time.Second

// An answerError says why an answer's header is not read to its end.
type answerError string

func (e answerError) Error() string { return string(e) }

const (
	errAnswerLong = answerError("the upstream's answer is broken: its header is too long, or has too many lines")
	errAnswers    = answerError("the upstream's answer has a long header, and so have too many other answers")
)

// An AnswerMemory bounds what the long headers of all answers take of memory at a
// time. Safe for concurrent use.
type AnswerMemory struct {
	size int64
	free *semaphore.Weighted
}

// NewAnswerMemory returns a bound of that many bytes.
func NewAnswerMemory(bytes int64) *AnswerMemory {
	return &AnswerMemory{bytes, semaphore.NewWeighted(bytes)}
}

// An answerMeter bounds what the header of one answer takes. While a
// long one is read, the most that it may take is reserved in one step: if each
// reserved as much as it has read, many could wait for one another. Its zero
// value bounds one answer alone. Safe for concurrent use: net/http reads a header
// in a goroutine of its own, and that may outlast the request.
type answerMeter struct {
	all *AnswerMemory // nil is without bounds

	mu       sync.Mutex
	scan     headerScan
	takes    int64
	reserved int64
	failed   error // net/http may hide it, and read again
	closed   bool
}

// add counts what was read of a connection. It returns an answerError when the
// header cannot be kept. It waits for memory until the context is done.
func (m *answerMeter) add(ctx context.Context, p []byte) error {
	err := m.count(ctx, p)
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.failed = err
	}
	return err
}

// failure returns the last error of add. A nil meter has none.
func (m *answerMeter) failure() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed
}

func (m *answerMeter) count(ctx context.Context, p []byte) error {
	m.mu.Lock()
	size, lines := m.scan.header(p)
	m.takes += int64(answerByteTakes*size + answerLineTakes*lines)
	long, reserve := m.takes > answerMost, m.takes > answerFree && m.reserved == 0 && m.all != nil && !m.closed
	m.mu.Unlock()
	switch {
	case long:
		return errAnswerLong
	case reserve:
		return m.reserve(ctx)
	}
	return nil
}

func (m *answerMeter) reserve(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	most := min(answerMost, m.all.size)
	if m.all.free.Acquire(ctx, most) != nil {
		return errAnswers
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		m.all.free.Release(most)
		return net.ErrClosed
	case m.reserved > 0: // by a connection that failed
		m.all.free.Release(most)
	default:
		m.reserved = most
	}
	return nil
}

// settle is called when the header was read: what it does not take of the
// reservation is given back. It returns why the header was not read to its end.
func (m *answerMeter) settle() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shrink(min(m.reserved, max(m.takes-answerFree, 0)))
	return m.failed
}

// begin is called before another answer is read in place of the one before.
func (m *answerMeter) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scan, m.takes, m.failed = headerScan{}, 0, nil
	m.shrink(0)
}

// close is called when the request is over.
func (m *answerMeter) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.shrink(0)
}

// shrink reduces the reservation to keep. The caller holds m.mu.
func (m *answerMeter) shrink(keep int64) {
	if m.reserved > keep {
		m.all.free.Release(m.reserved - keep)
		m.reserved = keep
	}
}

// A headerScan finds where the header of an answer ends. Interim answers (1xx;
// RFC 9110, section 15.2) before it are part of it.
type headerScan struct {
	over   bool
	begun  bool     // the status line is complete
	status [64]byte // as much as is looked at of it
	kept   int      // of status
	length int      // of the present line so far
	first  byte     // of the present line
}

// header returns how many bytes of p, and lines of them, are of the header.
func (s *headerScan) header(p []byte) (size, lines int) {
	for size < len(p) && !s.over {
		rest := p[size:]
		part, _, ended := bytes.Cut(rest, []byte{'\n'})
		if s.length == 0 && len(part) > 0 {
			s.first = part[0]
		}
		if !s.begun {
			s.kept += copy(s.status[s.kept:], part)
		}
		s.length += len(part)
		size += len(part)
		if ended {
			size++
			lines++
			s.endLine()
		}
	}
	return size, lines
}

func (s *headerScan) endLine() {
	blank := s.length == 0 || s.length == 1 && s.first == '\r'
	s.length = 0
	switch {
	case !blank:
		s.begun = true
	case s.interim():
		*s = headerScan{}
	default:
		s.over = true
	}
}

// interim reads the status as net/http does. What is not all there counts as
// interim, so that no spelling of the line ends the count.
func (s *headerScan) interim() bool {
	_, code, _ := bytes.Cut(s.status[:s.kept], []byte{' '})
	code = bytes.TrimLeft(code, " ")
	if len(code) < 3 {
		return true
	}
	return code[0] == '1' && string(code[:3]) != "101"
}

// An answerConn is a connection to an upstream, on which the header of an answer
// is metered.
type answerConn struct {
	net.Conn
	meter atomic.Pointer[answerMeter] // of the answer that is awaited; nil while there is none
	life  context.Context             // ends when the connection is closed
	end   context.CancelFunc
}

// metered wraps dial: its connections are metered, and their request notes that one was
// made.
func metered(dial Dialer) Dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if x, ok := ctx.Value(stateKey{}).(*requestState); ok {
			x.dialed.Store(true)
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &answerConn{Conn: conn}
		c.life, c.end = context.WithCancel(context.Background())
		return c, nil
	}
}

// Read fails for good once the header is refused: net/http (Go 1.26) passes over an
// error in the middle of a line, and reads again. TestAnswersHeaderIsBounded holds
// this.
func (c *answerConn) Read(p []byte) (int, error) {
	if err := c.meter.Load().failure(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if m := c.meter.Load(); m != nil {
		if err := m.add(c.life, p[:n]); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (c *answerConn) Close() error {
	c.end()
	return c.Conn.Close()
}

// CloseWrite ends one direction of a connection that has switched protocols.
func (c *answerConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// meterAnswer has the transport report which connection it sends on, and meters the
// reads of that connection from then on. ReverseProxy (Go 1.26) puts a trace of its own
// into each request's context. It is changed here, because httptrace merges a second one
// by reflection. TestAnswersHeaderIsBounded holds this.
func (x *requestState) meterAnswer(ctx context.Context) {
	if trace := httptrace.ContextClientTrace(ctx); trace != nil {
		trace.GotConn = func(info httptrace.GotConnInfo) {
			if c, ok := info.Conn.(*answerConn); ok {
				x.awaited = c
				c.meter.Store(&x.answer)
			}
		}
	}
}

// answerMetered is called when the header of an answer was read, or there is none. The
// connection may already serve another request. The error is the meter's.
func (x *requestState) answerMetered() error {
	if x.awaited != nil {
		x.awaited.meter.CompareAndSwap(&x.answer, nil)
		x.awaited = nil
	}
	return x.answer.settle()
}
