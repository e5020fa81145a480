package authn

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// leeway is how far the clocks of issuers and ours may be apart.
const leeway = 60 * time.Second

// claims are what a token says (RFC 7519, section 4.1).
type claims struct {
	issuer, subject            string
	audience                   []string
	expires, notBefore, issued time.Time // zero when they are not there
	all                        map[string]json.RawMessage
}

var errClaims = refuse("the token's claims are not JSON of the form that RFC 7519 has")

// parseClaims parses a token's payload. The decoder refuses names that come twice, and
// takes no name for one that is spelled otherwise.
func parseClaims(payload []byte) (c claims, err error) {
	if !utf8.Valid(payload) || json.Unmarshal(payload, &c.all) != nil || c.all == nil {
		return claims{}, errClaims
	}
	for name, into := range map[string]*string{"iss": &c.issuer, "sub": &c.subject} {
		if raw, ok := c.all[name]; ok && !isString(raw, into) {
			return claims{}, errClaims
		}
	}
	for name, into := range map[string]*time.Time{"exp": &c.expires, "nbf": &c.notBefore, "iat": &c.issued} {
		if raw, ok := c.all[name]; ok && !isDate(raw, into) {
			return claims{}, errClaims
		}
	}
	if raw, ok := c.all["aud"]; ok && !isAudience(raw, &c.audience) {
		return claims{}, errClaims
	}
	return c, nil
}

func isString(raw json.RawMessage, into *string) bool {
	return len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, into) == nil
}

// isDate reads a NumericDate (RFC 7519, section 2), which may have a fraction.
func isDate(raw json.RawMessage, into *time.Time) bool {
	const year9999 = 253402300799
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > year9999 {
		return false
	}
	whole, fraction := math.Modf(seconds)
	*into = time.Unix(int64(whole), int64(fraction*1e9))
	return true
}

func isAudience(raw json.RawMessage, into *[]string) bool {
	var one string
	if isString(raw, &one) {
		*into = []string{one}
		return true
	}
	var list []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		return false
	}
	for _, each := range list {
		if !isString(each, &one) {
			return false
		}
		*into = append(*into, one)
	}
	return true
}

// value returns a claim as callers.Claim compares it.
func (c claims) value(name string) (value any) {
	if raw, ok := c.all[name]; ok && json.Unmarshal(raw, &value) != nil {
		return nil
	}
	return value
}

// checkTime checks when the token is valid.
func (c claims) checkTime() error {
	now := time.Now()
	switch {
	case c.expires.IsZero():
		return refuse("the token has no expiry (exp)")
	case !now.Before(c.expires.Add(leeway)):
		return refuse("the token expired %s ago", round(now.Sub(c.expires)))
	case c.notBefore.After(now.Add(leeway)):
		return refuse("the token is valid in %s only (nbf): compare the clocks", round(c.notBefore.Sub(now)))
	case c.issued.After(now.Add(leeway)):
		return refuse("the token is issued in %s only (iat): compare the clocks", round(c.issued.Sub(now)))
	}
	return nil
}
