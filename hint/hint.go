// Package hint lets an error say what a person can do about it. An error's text
// says what is wrong; its hint says how to mend it. It can also say that the
// command line is what is wrong. The package knows no other package of ours.
package hint

import "errors"

// With returns err with a hint, in the imperative: "make room on the volume". The
// text of err stays as it is, and errors.Is and errors.As see through it.
func With(err error, hint string) error { return &hinted{err, hint} }

// Of returns the hint of the first error in err's tree that has one, in the order
// of errors.As; "" when none has. An error type that knows its own hint has a
// method Hint.
func Of(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }
func (h *hinted) Hint() string  { return h.hint }

// Usage returns err as a mistake in the command line, with a hint.
func Usage(err error, hint string) error { return &usage{With(err, hint)} }

// IsUsage reports whether err is, or wraps, a mistake in the command line.
func IsUsage(err error) bool {
	_, ok := errors.AsType[*usage](err)
	return ok
}

type usage struct{ error }

func (u *usage) Unwrap() error { return u.error }
