package command

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// printable escapes the parts of a text, possibly from a peer, that could change how a
// terminal shows it: control characters, characters that change the direction, and bytes
// that are not UTF-8. Line breaks and tabs stay. Characters are escaped as in JSON.
func printable(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, harmful) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case !harmful(r):
			b.WriteRune(r)
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
		text = text[size:]
	}
	return b.String()
}

func harmful(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }

// A printableWriter writes printable text. Each Write must hold complete characters.
type printableWriter struct{ out io.Writer }

// Write implements io.Writer.
func (w printableWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.out, printable(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
