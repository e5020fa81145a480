package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"
	"sync/atomic"

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
	if err != nil {
		return c, buffered, err
	}
	early, err := buffered.Peek(buffered.Reader.Buffered())
	w.state.upgraded = &upgradedConn{Conn: c, early: bytes.Clone(early)}
	return w.state.upgraded, buffered, err
}

// An upgradedConn is an app's connection after an upgrade. Some of its bytes may have been read
// before.
type upgradedConn struct {
	net.Conn
	early    []byte
	received atomic.Int64 // bytes of the app
	sent     atomic.Int64 // bytes to the app
}

func (c *upgradedConn) Read(p []byte) (n int, err error) {
	if len(c.early) == 0 {
		n, err = c.Conn.Read(p)
	} else {
		n = copy(p, c.early)
		c.early = c.early[n:]
	}
	c.received.Add(int64(n))
	return n, err
}

func (c *upgradedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// CloseWrite ends one direction of the connection.
func (c *upgradedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
