package tokens

import (
	"errors"
	"fmt"
)

// A StateError is a record that could not be read or written. Its text may name
// files and processes: it is for the operator, and not for apps.
type StateError struct {
	Doing string // what failed, as a gerund and its object
	Write bool
	Err   error
}

func (e *StateError) Error() string { return e.Doing + ": " + e.Err.Error() }
func (e *StateError) Unwrap() error { return e.Err }

// A fixedError is an error whose text may be shown to apps.
type fixedError string

func (e fixedError) Error() string { return string(e) }

// IsRecorded reports whether err says what the record says of an earlier token request: the
// issuer is asked again later.
func IsRecorded(err error) bool {
	fixed, ok := errors.AsType[fixedError](err)
	return ok && fixed != errClosing && fixed != errSlow
}

// Reason says why there is no usable access token, in words that apps may see:
// they are fixed, but for the issuer's status and error code. The error's own
// text is the operator's.
func (e *UnavailableError) Reason() string {
	var (
		state  *StateError
		issuer *IssuerError
		fixed  fixedError
	)
	switch {
	case errors.As(e.Err, &state) && state.Write:
		return "the state cannot be written"
	case errors.As(e.Err, &state):
		return "the state cannot be read"
	case errors.As(e.Err, &issuer):
		return issuer.reason()
	case errors.As(e.Err, &fixed):
		return fixed.Error()
	}
	return "the refresh failed"
}

// reason is the part of the error that may be shown to apps.
func (e *IssuerError) reason() string {
	switch {
	case e.Status != 0 && e.Code != "":
		return fmt.Sprintf("the issuer answered %d %s", e.Status, e.Code)
	case e.Status != 0:
		return fmt.Sprintf("the issuer answered %d", e.Status)
	case e.Class == NotSent:
		return "the issuer cannot be reached"
	}
	return "the issuer gave no answer"
}
