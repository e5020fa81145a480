package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeys = 256
	// sameName bounds the keys that a signature is tried with, where an issuer gives several
	// keys one name.
	sameName = 4
	// minRSA is the smallest modulus, in bits (RFC 7518, section 3.3).
	minRSA = 2048
)

// A Key verifies signatures. It is not changed.
type Key struct {
	ID        string // its kid, "" when it has none
	Algorithm string // "RS256", "ES256" or "EdDSA"
	Public    crypto.PublicKey
	print     string // its thumbprint (RFC 7638)
}

func (k *Key) same(l *Key) bool {
	return k.ID == l.ID && k.Algorithm == l.Algorithm && k.print == l.print
}

// A Set is the keys of an issuer at one time. It is not changed. A nil Set has no keys.
type Set struct{ keys []*Key }

// Has reports whether a key, perhaps of an earlier set, is in the set.
func (s *Set) Has(k *Key) bool { return s != nil && slices.ContainsFunc(s.keys, k.same) }

// find returns the keys with that name for that algorithm. A token that names no key is for
// the only one there is.
func (s *Set) find(kid, alg string) []*Key {
	if s == nil {
		return nil
	}
	var found []*Key
	for _, k := range s.keys {
		if k.Algorithm == alg && (kid == "" || k.ID == kid) {
			found = append(found, k)
		}
	}
	if kid == "" && len(found) > 1 {
		return nil
	}
	return found[:min(len(found), sameName)]
}

func (s *Set) equal(t *Set) bool { return slices.EqualFunc(s.keys, t.keys, (*Key).same) }

// parseSet reads a JWK Set. It leaves out keys that are for something else, of a kind that
// is not accepted, or broken; a set without a key that is left is an error.
func parseSet(data []byte) (*Set, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(data, &document) != nil || document.Keys == nil {
		return nil, errors.New("the answer is not a JWK Set")
	}
	if len(document.Keys) > maxKeys {
		return nil, errors.New("the JWK Set has more than 256 keys")
	}
	set := &Set{}
	for _, raw := range document.Keys {
		if k := parseKey(raw); k != nil {
			set.keys = append(set.keys, k)
		}
	}
	if len(set.keys) == 0 {
		return nil, errors.New("the JWK Set has no key for signatures by RS256, ES256 or EdDSA")
	}
	return set, nil
}

// parseKey returns nil for a key that cannot be used.
func parseKey(raw []byte) *Key {
	var of struct {
		Use        string   `json:"use"`
		Operations []string `json:"key_ops"`
	}
	var parsed jose.JSONWebKey
	if json.Unmarshal(raw, &of) != nil || parsed.UnmarshalJSON(raw) != nil || !parsed.Valid() {
		return nil
	}
	if of.Use != "" && of.Use != "sig" || of.Operations != nil && !slices.Contains(of.Operations, "verify") {
		return nil
	}
	k := &Key{ID: parsed.KeyID, Algorithm: algorithm(parsed.Key), Public: parsed.Key}
	if k.Algorithm == "" || parsed.Algorithm != "" && parsed.Algorithm != k.Algorithm {
		return nil
	}
	print, err := parsed.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil
	}
	k.print = string(print)
	return k
}

// algorithm returns the only algorithm for which a key is used, "" for none. A key of one
// algorithm is never used for another (RFC 8725, section 3.1).
func algorithm(key any) string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() >= minRSA {
			return "RS256"
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return "ES256"
		}
	case ed25519.PublicKey:
		return "EdDSA"
	}
	return ""
}
