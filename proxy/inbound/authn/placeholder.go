package authn

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"ticketproxy/config/callers"
	"ticketproxy/proxy/inbound"
	"ticketproxy/secret"
)

// A placeholder is the token of an app that does its own OAuth. It is worthless elsewhere.
// It is tpp_ and, in base64url, when it expires (Unix seconds, 8 bytes), the first 16 bytes
// of the digest of the caller's proofs, the caller's name, and the HMAC-SHA-256 of
// these. With another proof in the file the digest is another, so a placeholder is not
// worth more than what it was given for.
const (
	placeholderPrefix = "tpp_"
	placeholderLabel  = "ticketproxy placeholder 1\x00" // the key may be used for other things, too
	proofDigest       = 16
	placeholderHead   = 8 + proofDigest
	maxPlaceholder    = len(placeholderPrefix) + (placeholderHead+63+sha256.Size)*4/3 + 3
)

var errNoPlaceholders = errors.New("there is no key for placeholders")

// NewPlaceholder returns a placeholder for a caller, which Authenticate accepts until a time,
// or until the caller's proofs change.
func (a *Authenticator) NewPlaceholder(caller string, until time.Time) (secret.String, error) {
	proofs, ok := a.proofs[caller]
	if !ok || len(a.placeholderKey) == 0 {
		return secret.String{}, errNoPlaceholders
	}
	content := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	content = append(content, proofs[:proofDigest]...)
	content = append(content, caller...)
	content = append(content, a.seal(content)...)
	return secret.New(placeholderPrefix + base64.RawURLEncoding.EncodeToString(content)), nil
}

func (a *Authenticator) seal(content []byte) []byte {
	mac := hmac.New(sha256.New, a.placeholderKey)
	mac.Write([]byte(placeholderLabel))
	mac.Write(content)
	return mac.Sum(nil)
}

// placeholderCaller returns the caller to whom a placeholder was given.
func (a *Authenticator) placeholderCaller(text string) (inbound.Caller, error) {
	if len(text) > maxPlaceholder || len(a.placeholderKey) == 0 {
		return inbound.Caller{}, refuse("the placeholder is not one of ours")
	}
	content, err := base64.RawURLEncoding.Strict().DecodeString(text[len(placeholderPrefix):])
	cut := len(content) - sha256.Size
	if err != nil || cut <= placeholderHead || !hmac.Equal(content[cut:], a.seal(content[:cut])) {
		return inbound.Caller{}, refuse("the placeholder is not one of ours: ask for a token again")
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(content)), 0)
	if late := time.Since(expires); late >= 0 {
		return inbound.Caller{}, refuse("the placeholder expired %s ago: ask for a token again", round(late))
	}
	caller := string(content[placeholderHead:cut])
	if proofs, ok := a.proofs[caller]; !ok || !hmac.Equal(proofs[:proofDigest], content[8:placeholderHead]) {
		return inbound.Caller{}, refuse("the placeholder is of a caller who has gone or has other keys now: " +
			"ask for a token again")
	}
	return inbound.Caller{Name: caller, Proof: "placeholder", Until: expires, ProvedBy: a.proofs[caller]}, nil
}

func isPlaceholder(text string) bool { return strings.HasPrefix(text, placeholderPrefix) }

// proofsOf returns a digest of what proves a caller. It is the same in every process with the
// same file.
func proofsOf(f callers.File, c callers.Caller) [sha256.Size]byte {
	c.May, c.Tokens, c.Rate = nil, nil, callers.Rate{}
	c.Keys = slices.Clone(c.Keys)
	slices.SortFunc(c.Keys, func(x, y [32]byte) int { return strings.Compare(string(x[:]), string(y[:])) })
	var issuers []callers.Issuer
	for _, j := range c.JWTs {
		issuers = append(issuers, f.Issuers[j.Issuer])
	}
	return provedBy(c, issuers)
}
