package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"

	"ticketproxy/proxy/inbound"
)

// An interimWriter sanitizes what the upstream says before its answer (1xx; RFC
// 9110, section 15.2), which ReverseProxy passes on as it came.
type interimWriter struct {
	http.ResponseWriter
	headers *headerFilters
	state   *requestState
	http10  bool                  // the app knows of none (RFC 9110, section 15.2)
	body    *inbound.ExpectedBody // nil when there is none
}

// WriteHeader implements http.ResponseWriter. The server itself says 100 when
// the app's body is asked for, which is when the upstream has said it.
func (w *interimWriter) WriteHeader(status int) {
	if status == http.StatusContinue {
		return
	}
	if status/100 == 1 && status != http.StatusSwitchingProtocols {
		if w.http10 {
			return
		}
		w.headers.sanitizeInterim(w.Header(), w.state)
		w.body.WriteInterim(func() { w.ResponseWriter.WriteHeader(status) })
		return
	}
	if w.http10 { // whose answers are not chunked, and so have no trailers
		w.Header().Del("Trailer")
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *interimWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack implements http.Hijacker, for ReverseProxy, which forgets what has
// come of the app's bytes together with its request to upgrade.
func (w *interimWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil || buffered.Reader.Buffered() == 0 {
		return c, buffered, err
	}
	early, err := buffered.Peek(buffered.Reader.Buffered())
	return &earlyConn{Conn: c, early: bytes.Clone(early)}, buffered, err
}

// An earlyConn is a connection of which some bytes were read before.
type earlyConn struct {
	net.Conn
	early []byte
}

func (c *earlyConn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	c.early = c.early[n:]
	return n, nil
}

// CloseWrite ends one direction of the connection.
func (c *earlyConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
