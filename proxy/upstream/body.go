package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"
)

// An answerBody is the body of an answer. Reads are one at a time; Close may be called with one.
type answerBody struct {
	x      *exchange
	left   int64     // until the end; -1 is until the connection ends
	chunks io.Reader // nil when the body is not chunked
	err    error     // of the last read

	waiter  Waiter // may be nil
	ended   atomic.Bool
	hurried bool // the connection has a deadline for writes
}

// OnWait has w told of each read of the answer that waits. The body of an answer that RoundTrip
// returned has this method, unless the answer has no body or has switched protocols.
func (b *answerBody) OnWait(w Waiter) { b.waiter = w }

// beginBody sets x.res.Body. An answer without a body ends the exchange.
func (x *exchange) beginBody() {
	res, b := &x.res, &x.answer
	b.x = x
	if res.Close || !res.ProtoAtLeast(1, 1) || x.req.Close {
		x.spoilt.Store(true)
	}
	switch {
	case switches(res):
		res.Body = &switched{x: x}
		return
	case res.StatusCode == http.StatusSwitchingProtocols:
		x.spoilt.Store(true)
		b.left = 0
	case x.req.Method == http.MethodHead, bodiless(res.StatusCode):
		b.left = 0
	case len(res.TransferEncoding) > 0:
		b.left, b.chunks = -1, httputil.NewChunkedReader(x.conn.r)
	default:
		b.left = res.ContentLength
	}
	if b.left == 0 && b.chunks == nil {
		b.err = io.EOF
		b.end(true)
	}
	res.Body = b
	if b.err != nil && x.memory.reserved == 0 {
		res.Body = http.NoBody
	}
}

// switches reports whether an answer switches to the protocol that it names. Without a name, nobody
// asked for it: ReverseProxy (Go 1.26) compares the names, finds none in a request either, and would
// join the app to the upstream.
func switches(res *http.Response) bool {
	return res.StatusCode == http.StatusSwitchingProtocols && res.Header.Get("Upgrade") != "" &&
		httpguts.HeaderValuesContainsToken(res.Header["Connection"], "Upgrade")
}

// Read implements io.Reader. The last bytes come with io.EOF where that is known.
func (b *answerBody) Read(p []byte) (int, error) {
	switch {
	case b.ended.Load():
		if b.err == nil {
			return 0, net.ErrClosed
		}
		return 0, b.err
	case len(p) == 0:
		return 0, nil
	}
	n, err := b.readTold(p)
	if err != nil {
		b.err = err
		b.end(errors.Is(err, io.EOF))
	}
	return n, err
}

// readTold reads, and tells the waiter before it waits.
func (b *answerBody) readTold(p []byte) (int, error) {
	c := b.x.conn
	switch {
	case b.waiter == nil:
		return b.read(p)
	case c.watch == nil:
		if c.r.Buffered() == 0 {
			b.waiter.BeforeWait()
		}
		return b.read(p)
	}
	c.watch.waiter = b.waiter
	n, err := b.read(p)
	c.watch.waiter = nil
	return n, err
}

func (b *answerBody) read(p []byte) (int, error) {
	r := b.x.conn.r
	switch {
	case b.chunks != nil:
		return b.readChunks(p)
	case b.left < 0:
		return r.Read(p)
	}
	n, err := r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		return n, io.EOF
	case errors.Is(err, io.EOF):
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// readChunks reads a chunked body. Bytes that have come do not wait for a trailer, which the next
// read finds.
func (b *answerBody) readChunks(p []byte) (int, error) {
	r := b.x.conn.r
	n, err := b.chunks.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if seen, _ := r.Peek(min(r.Buffered(), 2)); n > 0 && string(seen) != "\r\n" {
		return n, nil
	}
	if err := b.readTrailer(r); err != nil {
		return n, err
	}
	return n, io.EOF
}

var errTrailer = errors.New("the trailer of the upstream's answer is broken")

// readTrailer reads what follows the last chunk. It has to fit into the read buffer.
func (b *answerBody) readTrailer(r *bufio.Reader) error {
	two, err := r.Peek(2)
	if string(two) == "\r\n" {
		r.Discard(2)
		return nil
	}
	if err != nil {
		return unexpected(err)
	}
	for {
		seen, _ := r.Peek(r.Buffered())
		if bytes.Contains(seen, []byte("\r\n\r\n")) {
			break
		}
		if len(seen) == r.Size() {
			return errTrailer
		}
		if _, err := r.Peek(len(seen) + 1); err != nil {
			return unexpected(err)
		}
	}
	trailer, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		return errTrailer // which would be quoted otherwise
	}
	if b.x.res.Trailer == nil {
		b.x.res.Trailer = http.Header(trailer)
		return nil
	}
	for name, values := range trailer {
		b.x.res.Trailer[name] = values
	}
	return nil
}

// Close implements io.Closer. An answer that was not read to its end closes the connection.
func (b *answerBody) Close() error {
	b.end(false)
	b.x.memory.release()
	return nil
}

// end ends the exchange, once. It is clean when the answer was read to its end.
func (b *answerBody) end(clean bool) {
	if b.ended.Swap(true) {
		return
	}
	x := b.x
	if !clean || x.conn.r.Buffered() > 0 {
		x.giveUp(net.ErrClosed)
		return
	}
	x.hurry()
	x.done(true)
}

// A switched is a connection that has switched protocols (101; RFC 9110, section 15.2.2).
type switched struct {
	x      *exchange
	closed atomic.Bool
}

// Read implements io.Reader.
func (s *switched) Read(p []byte) (int, error) { return s.x.conn.r.Read(p) }

// Write implements io.Writer.
func (s *switched) Write(p []byte) (int, error) { return s.x.conn.Conn.Write(p) }

// CloseWrite ends the direction to the upstream.
func (s *switched) CloseWrite() error { return s.x.conn.CloseWrite() }

// Close implements io.Closer.
func (s *switched) Close() error {
	if !s.closed.Swap(true) {
		s.x.memory.release()
		s.x.giveUp(net.ErrClosed)
	}
	return nil
}
