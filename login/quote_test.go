package login

import (
	"strings"
	"testing"
)

// The issuer's words are quoted, cut, and cannot change how a terminal shows text.
func TestQuoteIssuer(t *testing.T) {
	t.Parallel()
	for description, want := range map[string]string{
		"":                            "",
		" \n":                         "",
		"The scope is missing.":       `; the issuer says: "The scope is missing."`,
		"l\u00f6schen\x1b[2J\r\n\xff": `; the issuer says: "löschen\x1b[2J"`,
		"a\u202eb":                    `; the issuer says: "a\u202eb"`,
		strings.Repeat("x", 200):      `; the issuer says: "` + strings.Repeat("x", 200) + `"`,
		strings.Repeat("x", 201):      `; the issuer says: "` + strings.Repeat("x", 200) + `…"`,
	} {
		if got := quoteIssuer(description); got != want {
			t.Errorf("%q: got %s, want %s", description, got, want)
		}
	}
}
