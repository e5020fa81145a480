// Package secret holds the one type in which tokens, client secrets and
// passwords travel through the program.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
)

// Redacted is what every printer sees of a secret.
const Redacted = "[redacted]"

// A String is a secret text. However it is printed, logged or marshalled, it
// shows as [redacted]; only Reveal gives the text. The zero String is empty.
// It is immutable and safe for concurrent use.
//
// The text is kept behind a pointer because fmt calls no methods on unexported
// fields: printing a struct that holds a String shows at most an address.
type String struct {
	text *string
	_    [0]func() // not comparable: == would compare addresses
}

// New makes a secret of text.
func New(text string) String {
	if text == "" {
		return String{}
	}
	return String{text: &text}
}

// Reveal returns the text. Its callers are the places where a secret leaves
// the program: a request's Authorization, a token request's body, the state.
func (s String) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether the secret is empty.
func (s String) IsZero() bool { return s.text == nil }

// Equal compares two secrets in a time that tells only their lengths.
func (s String) Equal(t String) bool {
	if s.text == t.text {
		return true
	}
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
}

// Hash returns the SHA-256 of the text in hexadecimal, which may be kept and
// shown where the text may not: it must not be used on what a person could
// guess. The hash of the empty secret is "".
func (s String) Hash() string {
	if s.IsZero() {
		return ""
	}
	sum := sha256.Sum256([]byte(s.Reveal()))
	return hex.EncodeToString(sum[:])
}

// String implements fmt.Stringer.
func (s String) String() string { return s.mask() }

// Format implements fmt.Formatter, so that no verb, %#v and %x among them,
// reaches the text.
func (s String) Format(w fmt.State, _ rune) {
	io.WriteString(w, s.mask())
}

// MarshalText implements encoding.TextMarshaler, and with it JSON and YAML.
func (s String) MarshalText() ([]byte, error) { return []byte(s.mask()), nil }

// UnmarshalText implements encoding.TextUnmarshaler, so that configuration
// parsers can fill a secret.
func (s *String) UnmarshalText(text []byte) error {
	*s = New(string(text))
	return nil
}

func (s String) mask() string {
	if s.IsZero() {
		return ""
	}
	return Redacted
}
