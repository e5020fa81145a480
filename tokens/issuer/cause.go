package issuer

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"

	"ticketproxy/egress"
)

// An unusable is a fault of an answer, in words of ours.
type unusable string

func (u unusable) Error() string { return string(u) }

// A cause is an error reduced to words that are safe to show. What net/http
// says may quote the issuer's answer, and with it the token that was sent. It
// unwraps to an error that holds no text of others, or to nil.
type cause struct {
	text string
	kind error
}

func (c *cause) Error() string { return c.text }
func (c *cause) Unwrap() error { return c.kind }

// describe reduces an error to a cause. Wanted is what did not come: the
// connection or the answer.
func (a attempt) describe(err error, wanted string) error {
	var (
		fault   unusable
		lookup  *net.DNSError
		timeout net.Error
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		op      *net.OpError
		errno   syscall.Errno
		out     *egress.Error
	)
	otherwise := "no usable " + wanted
	c := &cause{text: otherwise}
	switch {
	case errors.As(err, &fault):
		return fault
	case errors.Is(err, context.Canceled):
		c.text, c.kind = "cancelled while waiting for the "+wanted, context.Canceled
	case errors.As(err, &out):
		return out
	case errors.As(err, &lookup):
		c.text = "looking up " + lookup.Name + ": " + lookup.Err
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		c.text, c.kind = "no "+wanted+" in time", context.DeadlineExceeded
	case errors.As(err, &verify):
		c.text, otherwise = verify.Err.Error(), "certificate of the issuer is not trusted"
	case errors.As(err, &record):
		c.text = "issuer does not speak TLS"
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		c.text = op.Op + ": " + op.Err.Error() // a TLS alert (RFC 8446, section 6)
	case errors.As(err, &errno):
		c.text, c.kind = errno.Error(), errno
		if op != nil && op.Op == "dial" && op.Addr != nil {
			c.text = "connecting to " + op.Addr.String() + ": " + c.text
		}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		c.text, c.kind = "connection was closed before the "+wanted+" was whole", io.ErrUnexpectedEOF
	}
	// A certificate's names are the peer's words.
	if !isText(c.text) || len(c.text) > 300 || a.hide(c.text) == "" {
		c.text = otherwise
	}
	return c
}
