package authn

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"

	"ticketproxy/proxy/inbound"
	"ticketproxy/secret"
)

// A key is tpk_, 32 random bytes and the CRC-32 (IEEE) of all before it, both in base64url
// without padding: 53 characters that need no escape in a URL. With the checksum a scanner
// of repositories tells a key from other text, and a person learns that a key was cut off
// when it was pasted. A text that somebody thought of has no checksum, so it cannot be a key
// even if its digest is in the file.
const (
	keyPrefix   = "tpk_"
	keyRandom   = 32
	keyLength   = len(keyPrefix) + 43 + 6
	keyChecksum = keyLength - 6
)

// NewKey makes a key, and the SHA-256 of its text, which is what CALLERS_FILE has of it.
func NewKey() (key secret.String, digest [32]byte) {
	var random [keyRandom]byte
	rand.Read(random[:]) // it never fails
	text := keyPrefix + base64.RawURLEncoding.EncodeToString(random[:])
	text += checksum(text)
	return secret.New(text), digestOf(text)
}

func checksum(text string) string {
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE([]byte(text)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// digestOf returns the SHA-256 of a text. A short one is not copied to the heap.
func digestOf(text string) [sha256.Size]byte {
	var short [1 << 10]byte
	return sha256.Sum256(append(short[:0], text...))
}

// checkKey returns what is wrong with the form of a key.
func checkKey(text string) error {
	if len(text) != keyLength {
		return refuse("the key has %d characters, and a key has %d: copy it whole", len(text), keyLength)
	}
	if checksum(text[:keyChecksum]) != text[keyChecksum:] {
		return refuse("the key's checksum does not fit: copy it whole, or make one with ticketproxy key")
	}
	return nil
}

// keyCaller returns the caller whose key a text is.
//
// The keys are found by their digest. How long that takes depends on bits of digests, which
// tell nothing of a key, and which nobody can choose without inverting SHA-256. What
// is found is compared in constant time.
func (a *Authenticator) keyCaller(text string) (inbound.Caller, error) {
	if err := checkKey(text); err != nil {
		return inbound.Caller{}, err
	}
	digest := digestOf(text)
	known, ok := a.keys[digest]
	if !ok || subtle.ConstantTimeCompare(known.digest[:], digest[:]) != 1 {
		return inbound.Caller{}, refuse("unknown key: no caller in CALLERS_FILE has its digest")
	}
	return known.caller, nil
}

// A knownKey is a key of the file.
type knownKey struct {
	digest [32]byte
	caller inbound.Caller
}

func isKey(text string) bool { return strings.HasPrefix(text, keyPrefix) }
