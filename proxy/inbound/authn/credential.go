package authn

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// maxHeader bounds the value of a header field with a proof, in bytes.
const maxHeader = 8 << 10

// A credential is what a header field holds.
type credential struct {
	text  string // a key, a token or a placeholder
	value string // of the field
	basic bool   // whether it came as the password of Basic
	user  string // of Basic
}

// headerCredential returns the credential of a header field.
func headerCredential(field string, lines []string) (credential, error) {
	if len(lines) != 1 {
		return credential{}, refuse("%s has %d lines, and must have one", field, len(lines))
	}
	c, err := parseCredential(lines[0])
	if err != nil {
		return credential{}, refuse("%s %w", field, err)
	}
	c.value = lines[0]
	return c, nil
}

// parseCredential parses the value of Authorization (RFC 9110, section 11.4) with the scheme
// Bearer (RFC 6750, section 2.1) or Basic (RFC 7617). Its errors go on after the field's
// name, and quote nothing: a credential may stand in the place of anything.
func parseCredential(value string) (credential, error) {
	if len(value) > maxHeader {
		return credential{}, refuse("is longer than 8 KiB")
	}
	scheme, text, ok := strings.Cut(value, " ")
	text = strings.TrimLeft(text, " ")
	switch {
	case !ok || text == "":
		return credential{}, refuse(`is not "Bearer" or "Basic" and a credential`)
	case !isToken68(text):
		return credential{}, refuse("has more than one credential, or one with bytes that none has")
	case strings.EqualFold(scheme, "Bearer"):
		return credential{text: text}, nil
	case strings.EqualFold(scheme, "Basic"):
		return parseBasic(text)
	}
	return credential{}, refuse("has a scheme that is neither Bearer nor Basic")
}

func parseBasic(text string) (credential, error) {
	pair, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return credential{}, refuse("has a Basic credential that is not base64")
	}
	user, password, ok := strings.Cut(string(pair), ":")
	switch {
	case !ok:
		return credential{}, refuse("has a Basic credential without a colon: it must be NAME:KEY")
	case !utf8.ValidString(user) || !isToken68(password):
		return credential{}, refuse("has a Basic credential with bytes that neither a caller's name nor a key has")
	case user == "":
		return credential{}, refuse("has a Basic credential without a user name: it must be the caller's")
	}
	return credential{text: password, basic: true, user: user}, nil
}

// isToken68 reports whether a text is not empty, and has only characters of token68 (RFC
// 9110, section 11.2): every credential is of these. A comma, which would begin
// a second credential, is none.
//
// Every byte of every request's proof is looked up, so eight are at a time: that takes half the
// time for a token.
func isToken68(text string) bool {
	if text == "" {
		return false
	}
	var other byte // not 0 when there was one that is not allowed
	for ; len(text) >= 8; text = text[8:] {
		t := text[:8]
		other |= notToken68[t[0]] | notToken68[t[1]] | notToken68[t[2]] | notToken68[t[3]] |
			notToken68[t[4]] | notToken68[t[5]] | notToken68[t[6]] | notToken68[t[7]]
	}
	for i := range len(text) {
		other |= notToken68[text[i]]
	}
	return other == 0
}

// notToken68 is 0 for the characters of token68.
var notToken68 = func() (table [256]byte) {
	for i := range table {
		table[i] = 1
	}
	const all = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="
	for i := range len(all) {
		table[all[i]] = 0
	}
	return table
}()
