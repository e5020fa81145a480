package postgres

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// A notSentError is one of a time when the record was not yet sent.
type notSentError struct{ err error }

func (e *notSentError) Error() string { return e.err.Error() }
func (e *notSentError) Unwrap() error { return e.err }

// A connectError says that there is no connection.
type connectError struct {
	place string
	err   error
}

func (e *connectError) Error() string {
	lines := strings.Split(e.err.Error(), "\n")
	// On loopback the next try is without TLS, and what it meets is the reason.
	others := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return strings.HasSuffix(line, "tls error: server refused TLS connection")
	})
	if len(others) > 0 {
		lines = others
	}
	return "connecting to " + e.place + ": " + strings.Join(lines, "; ")
}

func (e *connectError) Unwrap() error { return e.err }

// A flawError is about the database, and stays until somebody mends that.
type flawError struct{ err error }

func (e *flawError) Error() string { return e.err.Error() }
func (e *flawError) Unwrap() error { return e.err }

// hasCode reports whether err is an answer of the server with one of the codes
// (postgresql.org, appendix A).
func hasCode(err error, codes ...string) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, e.Code)
}

// Codes of the server.
const (
	undefinedTable        = "42P01"
	insufficientPrivilege = "42501"
	serializationFailure  = "40001"
	deadlockDetected      = "40P01"
	failedTransaction     = "25P02"
)

// isUnknown reports whether a write that ended with err may have been done. An error that
// the server answers ends the transaction, unless the connection ends with it: then it may
// come after the commit. Poolers answer with class 08 when they lose the server.
func isUnknown(err error) bool {
	if _, ok := errors.AsType[*notSentError](err); ok {
		return false
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		severity := e.SeverityUnlocalized
		if severity == "" {
			severity = e.Severity
		}
		return severity != "ERROR" || strings.HasPrefix(e.Code, "08") || e.Code == "40003"
	}
	return !pgconn.SafeToRetry(err)
}

// isUnavailable reports whether a read that ended with err may succeed later without anyone
// changing rights or configuration.
func isUnavailable(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok || refusesCertificate(err) {
		return false
	}
	if _, ok := errors.AsType[*flawError](err); ok {
		return false
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return true
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "08", "25", "40", "53", "55", "57", "58", "XX": // connection, read-only, rollback, resources, … (appendix A)
		return true
	}
	return false
}

// refusesCertificate reports whether err is an alert of the server about the certificate of
// this client (RFC 8446, section 6.2). Its type in crypto/tls is not exported (Go 1.26).
func refusesCertificate(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "remote error" && strings.Contains(e.Error(), "certificate")
}

// refused adds what helps to the error of a read or a write.
func (d *Database) refused(err error) error {
	_, wrongName := errors.AsType[x509.HostnameError](err)
	_, tlsFailed := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case hint.Of(err) != "":
		return err
	case hasCode(err, insufficientPrivilege): // at the connection: explained knows the others
		return hint.With(err, runs("GRANT CONNECT ON DATABASE "+quoted(d.config.Database)+" TO "+quoted(d.config.User)))
	case hasCode(err, "28000", "28P01"):
		return hint.With(err, "see that user and password are right: the password is in TICKETPROXY_STATE, or in the "+
			"file of PGPASSFILE; and that pg_hba.conf lets this user in from here")
	case hasCode(err, "3D000"):
		return hint.With(err, "create the database: CREATE DATABASE "+quoted(d.config.Database))
	case refusesCertificate(err):
		return hint.With(err, "name a certificate that the server's ssl_ca_file has signed, by sslcert=FILE and sslkey=FILE")
	case wrongName:
		return hint.With(err, "write a host name in the URL that the server's certificate has")
	case tlsFailed:
		return hint.With(err, "name the authority of the server's certificate by sslrootcert=FILE or PGSSLROOTCERT")
	}
	return err
}

// reading is the error of a read.
func (d *Database) reading(err error) error {
	if isUnavailable(err) {
		return hint.With(fmt.Errorf("reading state: %w: %w", tokens.ErrUnavailable, err),
			cmp.Or(hint.Of(err), "see that the database server can be reached; until then no token is refreshed"))
	}
	return d.refused(fmt.Errorf("reading state: %w", err))
}

// writing is the error of a write.
func (d *Database) writing(err error) error {
	if isUnknown(err) {
		return fmt.Errorf("saving state: %w: %w", tokens.ErrUnknown, err)
	}
	return d.refused(fmt.Errorf("saving state: %w", err))
}
