// Package agekey reads the keys that encrypt tokens at rest: age identities and recipients
// (filippo.io/age, https://age-encryption.org/v1). It knows nothing of records and stores.
//
// Only age's own keys are taken, X25519 and the hybrid of ML-KEM-768 and X25519. A plugin
// or a passphrase would need a person at each start, and age advises programs against SSH
// keys.
package agekey

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// Keys are the identities of a file, which decrypt. They print no identity. Keys are
// immutable and safe for concurrent use. The zero Keys have no identity.
type Keys struct {
	identities []age.Identity
	first      string      // the text of the first one
	recipients []Recipient // of the identities, in the same order
}

// A Recipient encrypts. It is no secret. It is immutable and safe for concurrent use.
type Recipient struct {
	text      string
	recipient age.Recipient
}

// ErrNoMatch says that a text is encrypted to none of the identities.
var ErrNoMatch = errors.New("no identity matches")

// Parse reads an identity file as age-keygen writes it: an identity on each line, besides
// comments and empty lines. The errors hold no part of the text.
func Parse(text string) (Keys, error) {
	var keys Keys
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		identity, recipient, err := parseIdentity(line)
		if err != nil {
			return Keys{}, fmt.Errorf("line %d %w", number, err)
		}
		if keys.first == "" {
			keys.first = line
		}
		keys.identities = append(keys.identities, identity)
		keys.recipients = append(keys.recipients, recipient)
	}
	if len(keys.identities) == 0 {
		return Keys{}, errors.New("no line is an identity")
	}
	return keys, nil
}

func parseIdentity(line string) (age.Identity, Recipient, error) {
	switch {
	case strings.HasPrefix(line, "AGE-SECRET-KEY-1"):
		if identity, err := age.ParseX25519Identity(line); err == nil {
			return identity, Recipient{identity.Recipient().String(), identity.Recipient()}, nil
		}
		return nil, Recipient{}, errors.New("is an identity with a mistake in it")
	case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1"):
		if identity, err := age.ParseHybridIdentity(line); err == nil {
			return identity, Recipient{identity.Recipient().String(), identity.Recipient()}, nil
		}
		return nil, Recipient{}, errors.New("is an identity with a mistake in it")
	case strings.HasPrefix(line, "AGE-PLUGIN-"):
		return nil, Recipient{}, errors.New("is an identity of a plugin")
	case strings.HasPrefix(line, "age1"):
		return nil, Recipient{}, errors.New("is a recipient, which encrypts and cannot decrypt")
	case strings.HasPrefix(line, "age-encryption.org/"), strings.HasPrefix(line, "-----BEGIN AGE ENCRYPTED FILE"):
		return nil, Recipient{}, errors.New("begins an encrypted file, which needs a passphrase")
	case strings.HasPrefix(line, "-----BEGIN ") && strings.Contains(line, "PRIVATE KEY"), strings.HasPrefix(line, "ssh-"):
		return nil, Recipient{}, errors.New("begins a key of SSH or TLS")
	}
	return nil, Recipient{}, errors.New("is not an identity")
}

// ParseRecipient reads a recipient: age1 and so on. The errors hold no part of the text.
func ParseRecipient(text string) (Recipient, error) {
	var recipient interface {
		age.Recipient
		String() string
	}
	var err error
	switch {
	case strings.HasPrefix(text, "AGE-SECRET-KEY-"):
		return Recipient{}, errors.New("is an identity, which is secret, and not a recipient")
	case strings.HasPrefix(text, "age1pq1"):
		recipient, err = age.ParseHybridRecipient(text)
	case strings.HasPrefix(text, "age1"):
		recipient, err = age.ParseX25519Recipient(text)
	default:
		return Recipient{}, errors.New("is not a recipient")
	}
	if err != nil {
		return Recipient{}, errors.New("is a recipient with a mistake in it, or of a plugin")
	}
	return Recipient{recipient.String(), recipient}, nil
}

// Derive returns 32 bytes that depend on the first identity and on what they are for (HKDF, RFC
// 5869). Processes with the same first identity get the same ones. There must be an identity.
func (k Keys) Derive(purpose string) ([]byte, error) {
	if k.IsZero() {
		return nil, errors.New("there is no identity to derive a key from")
	}
	return hkdf.Key(sha256.New, []byte(k.first), nil, "ticketproxy "+purpose, 32)
}

// IsZero reports whether there is no identity.
func (k Keys) IsZero() bool { return len(k.identities) == 0 }

// Recipient returns the recipient of the first identity; the zero Recipient when there is
// none.
func (k Keys) Recipient() Recipient {
	if k.IsZero() {
		return Recipient{}
	}
	return k.recipients[0]
}

// Has reports whether r is the recipient of one of the identities.
func (k Keys) Has(r Recipient) bool {
	for _, own := range k.recipients {
		if own.text == r.text {
			return true
		}
	}
	return false
}

// Decrypt returns what Encrypt encrypted to one of the identities. The error is ErrNoMatch
// when that was to none of them. No error holds a part of the text.
func (k Keys) Decrypt(encrypted []byte) ([]byte, error) {
	if k.IsZero() {
		return nil, ErrNoMatch
	}
	r, err := age.Decrypt(bytes.NewReader(encrypted), k.identities...)
	if _, none := errors.AsType[*age.NoIdentityMatchError](err); none {
		return nil, ErrNoMatch
	}
	if err != nil {
		return nil, errors.New("not an age file, or a damaged one")
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, errors.New("a damaged age file")
	}
	return plain, nil
}

// IsZero reports whether r encrypts to nobody.
func (r Recipient) IsZero() bool { return r.recipient == nil }

// String returns the recipient as age-keygen prints it; "" for the zero Recipient.
func (r Recipient) String() string { return r.text }

// Encrypt encrypts a text to the recipient.
func (r Recipient) Encrypt(plain []byte) ([]byte, error) {
	var encrypted bytes.Buffer
	w, err := age.Encrypt(&encrypted, r.recipient)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	return encrypted.Bytes(), nil
}

// Short returns a recipient's text for messages: that of a hybrid one, of about 2,000
// characters, is cut.
func Short(recipient string) string {
	const most = 80
	if len(recipient) <= most {
		return recipient
	}
	return recipient[:24] + "…"
}
