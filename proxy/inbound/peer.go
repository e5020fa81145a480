package inbound

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"syscall"
)

// A peer is what a connection itself proves of an app. The first request reads it; the
// requests of a connection come one after another.
type peer struct {
	read bool
	uid  uint32
	ok   bool
	tls  *tls.ConnectionState
}

// PeerUID returns the user ID of the process that opened a connection to a Unix socket, and
// whether it is known. It is the effective user of the time when the process connected, and
// a descriptor that the process has passed on keeps it.
func (c *Conn) PeerUID() (uid uint32, ok bool) {
	c.readPeer()
	return c.peer.uid, c.peer.ok
}

func (c *Conn) readPeer() {
	if c.peer.read || c.Conn == nil {
		return
	}
	c.peer.read = true
	switch conn := c.Conn.(type) {
	case *tls.Conn:
		state := conn.ConnectionState()
		c.peer.tls = &state
	case *net.UnixConn:
		if raw, err := conn.SyscallConn(); err == nil {
			c.peer.uid, c.peer.ok = peerUID(raw)
		}
	}
}

// control calls f with the descriptor of a connection.
func control[T any](raw syscall.RawConn, f func(fd int) (T, error)) (result T, ok bool) {
	var err error
	if raw.Control(func(fd uintptr) { result, err = f(int(fd)) }) != nil || err != nil {
		return result, false
	}
	return result, true
}

// answerCleartext answers HTTP that was sent to a port that speaks TLS. It reports whether
// err came of that.
func (c *Conn) answerCleartext(err error) bool {
	record, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || record.Conn == nil {
		return false
	}
	switch string(record.RecordHeader[:]) { // as in net/http (Go 1.26)
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET":
	default:
		return false
	}
	p := NewProblem(http.StatusBadRequest, "bad_request", "This port speaks TLS",
		"the request came in clear: use https:// in the app's base URL")
	_, err = record.Conn.Write(c.refusal(p))
	return err == nil
}
