package issuer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"ticketproxy/secret"
	"ticketproxy/tokens"
)

const (
	maxAnswer = 1 << 20  // bytes of a body, decompressed
	maxToken  = 16 << 10 // bytes of a token
	// forever stands for every longer time: time.Duration ends at 292 years.
	forever = 100 * 365 * 24 * time.Hour
)

// What is wrong with an answer. The texts are all that is told of a body.
var (
	errRedirect     = errors.New("redirects are not followed")
	errCoding       = unusable("answer is of a content coding that cannot be read")
	errCodings      = unusable("answer has more than one content coding")
	errTooLong      = unusable("answer is longer than 1 MiB")
	errNotObject    = errors.New("answer is not a JSON object")
	errNoToken      = errors.New("answer has no access token")
	errAccessToken  = errors.New("access token does not fit in a header")
	errRefreshToken = errors.New("refresh token is not text")
	errTokenType    = errors.New("token type is not Bearer")
)

// readText reads an answer's body, and as much of it as there is when it breaks off. A
// compressed one is decompressed within the limit although none was asked for: it may
// hold the only valid refresh token. It is decompressed once at most, because each coding
// takes some 40 KiB of memory.
func readText(resp *http.Response) ([]byte, error) {
	var body io.Reader = resp.Body
	for _, coding := range resp.Header.Values("Content-Encoding") {
		switch strings.ToLower(coding) {
		case "", "identity":
		case "gzip", "x-gzip":
			if body != resp.Body {
				return nil, errCodings
			}
			unpacked, err := gzip.NewReader(body)
			if err != nil {
				return nil, errCoding
			}
			body = unpacked
		default:
			return nil, errCoding
		}
	}
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if len(text) > maxAnswer {
		return nil, errTooLong
	}
	return text, err
}

// readGrant reads a successful answer (RFC 6749, section 5.1). It also reads a faulty one
// whose refresh token has come, because the one before may be spent. If only the access
// token is of no use, the refresh token comes with the error.
//
// token_type may be missing, though the RFC requires it: Ticketpark's page does
// not mention it, and a refused answer is a lost refresh token. For the same
// reason a lifetime that makes no sense counts as one not stated.
func (a attempt) readGrant(text []byte) (tokens.Grant, error) {
	m, whole, _ := members(text, "access_token", "token_type", "expires_in", "refresh_token", "refresh_token_expires_in")
	if _, ok := m["refresh_token"]; !whole && !ok {
		return tokens.Grant{}, errNotObject
	}
	g := tokens.Grant{Obtained: a.obtained}
	life := lifetimeOf(m["refresh_token_expires_in"])
	if raw, ok := m["refresh_token"]; ok {
		refresh, ok := textOf(raw)
		if !ok || !isText(refresh) {
			return tokens.Grant{}, errRefreshToken
		}
		g.RefreshToken = secret.New(refresh)
		if life == 0 && refresh != "" {
			life = a.dialect.RefreshLifetime
		}
	}
	if life > 0 {
		g.RefreshExpiry = a.obtained.Add(life)
	}
	access, err := readAccessToken(m)
	if err != nil {
		return g, err
	}
	g.AccessToken = secret.New(access)
	if d := lifetimeOf(m["expires_in"]); d > 0 {
		g.Expiry = a.obtained.Add(d)
	}
	return g, nil
}

// readAccessToken returns the access token of an answer's members.
func readAccessToken(m map[string]json.RawMessage) (string, error) {
	if kind, ok := m["token_type"]; ok {
		if name, ok := stringOf(kind); !ok || !strings.EqualFold(name, "bearer") {
			return "", errTokenType
		}
	}
	if _, ok := m["access_token"]; !ok {
		return "", errNoToken
	}
	access, ok := stringOf(m["access_token"])
	if !ok || !fitsHeader(access) {
		return "", errAccessToken
	}
	return access, nil
}

// codeForm is the form of the registered error codes. The RFC allows more, but
// what is shown of an answer must not be able to hold a secret.
var codeForm = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)

// errorCode returns an answer's error code (RFC 6749, section 5.2), or "" when
// there is none of that form; and its error_description.
func errorCode(text []byte) (code, description string) {
	m, _, clean := members(text, "error", "error_description")
	if !clean {
		return "", ""
	}
	description, _ = stringOf(m["error_description"])
	if code, _ = stringOf(m["error"]); !codeForm.MatchString(code) {
		code = ""
	}
	return code, description
}

// members reads a JSON object and returns those of its members that are named
// and not null. A name is matched to the letter, as encoding/json does not when
// it fills a struct. The object is whole when its end has come, and clean when
// it is all there is and no name comes twice (RFC 6749, section 3.2).
func members(text []byte, names ...string) (m map[string]json.RawMessage, whole, clean bool) {
	m, clean = map[string]json.RawMessage{}, true
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	dec := json.NewDecoder(bytes.NewReader(text))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, false, false
	}
	for dec.More() {
		var value json.RawMessage
		key, err := dec.Token()
		if err != nil || dec.Decode(&value) != nil {
			return m, false, false
		}
		if end := dec.InputOffset(); end == int64(len(text)) && text[end-1] != '"' {
			return m, false, false // it may go on: a number has no end of its own
		}
		name, _ := key.(string)
		if !slices.Contains(names, name) {
			continue
		}
		_, twice := m[name]
		clean = clean && !twice
		if string(value) != "null" {
			m[name] = value
		} else if !twice {
			m[name] = nil
		}
	}
	_, err := dec.Token()
	whole = err == nil
	_, err = dec.Token()
	maps.DeleteFunc(m, func(_ string, value json.RawMessage) bool { return value == nil })
	return m, whole, clean && whole && err == io.EOF
}

func stringOf(raw json.RawMessage) (string, bool) {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// textOf is stringOf that takes a number for its digits.
func textOf(raw json.RawMessage) (string, bool) {
	var n json.Number
	if raw[0] != '"' && json.Unmarshal(raw, &n) == nil {
		return n.String(), true
	}
	return stringOf(raw)
}

// fitsHeader reports whether a token can be sent in Authorization: VSCHAR (RFC
// 6749, appendix A) without the space, which is more than the b64token of RFC
// 6750 that not every issuer keeps to.
func fitsHeader(token string) bool {
	return token != "" && len(token) <= maxToken &&
		!strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

// isText reports whether a refresh token is text. Bytes that are not UTF-8 have
// become U+FFFD on the way here.
func isText(token string) bool {
	return len(token) <= maxToken &&
		!strings.ContainsFunc(token, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar })
}

// lifetimeOf reads seconds, from a number of any form or a string that holds
// one. It is 0, not known, for all else and for what is not positive, with
// which some issuers say "never"; and at most forever.
func lifetimeOf(raw json.RawMessage) time.Duration {
	number := string(raw)
	if s, ok := stringOf(raw); ok {
		if number = strings.TrimSpace(s); !json.Valid([]byte(number)) {
			return 0 // as "NaN", "0x10" and "1_000", which ParseFloat would take
		}
	}
	seconds, err := strconv.ParseFloat(number, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // out of range is infinite
		return 0
	}
	return time.Duration(min(max(seconds, 0), forever.Seconds()) * float64(time.Second))
}

// retryAfter reads Retry-After (RFC 9110, section 10.2.3), at most forever, and
// whether there is a valid one. A date counts from the issuer's own clock when
// it shows one.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if date, err := http.ParseTime(text); err == nil {
		if sent, err := http.ParseTime(h.Get("Date")); err == nil {
			now = sent
		}
		return min(max(date.Sub(now), 0), forever), true
	}
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	seconds, _ := strconv.ParseInt(text, 10, 64) // the largest number when out of range
	return time.Duration(min(seconds, int64(forever/time.Second))) * time.Second, true
}
