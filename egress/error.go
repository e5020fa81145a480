package egress

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

// An Error says that a connection failed because of the egress proxy. It shows no
// credentials and no text from the proxy.
type Error struct {
	Proxy  string // host:port
	Status int    // of the answer to CONNECT; 0 without an answer
	Err    error
}

func (e *Error) Error() string {
	switch e.Status {
	case 0:
		return "the egress proxy " + e.Proxy + " cannot be used: " + reason(e.Err)
	case http.StatusProxyAuthRequired:
		return "the egress proxy " + e.Proxy + " asks for a user name and password (407)"
	}
	return fmt.Sprintf("the egress proxy %s answered CONNECT with %d", e.Proxy, e.Status)
}

func (e *Error) Unwrap() error { return e.Err }

// Hint returns what a person can do.
func (e *Error) Hint() string {
	if e.Status == http.StatusProxyAuthRequired {
		return "set HTTPS_PROXY to http://USER:PASSWORD@HOST:PORT, with the right user name and password"
	}
	return "see that HTTPS_PROXY names a proxy that runs and lets this program out; NO_PROXY names hosts to reach " +
		"without it"
}

// reason returns a fixed text for why a proxy cannot be used.
func reason(err error) string {
	var (
		lookup  *net.DNSError
		errno   syscall.Errno
		timeout net.Error
		verify  *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &verify):
		return "its certificate is not trusted"
	case errors.As(err, &lookup):
		return "its name is not found"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it does not answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection"
	}
	return "it gives no connection"
}

// A statusError is a proxy's refusal of CONNECT.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("answer %d to CONNECT", int(s)) }

// errHandshake is not a context error, which would refer to the whole request.
var errHandshake error = handshakeError{}

type handshakeError struct{}

func (handshakeError) Error() string   { return "no TLS handshake in time" }
func (handshakeError) Timeout() bool   { return true }
func (handshakeError) Temporary() bool { return true }
