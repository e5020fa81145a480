package command

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// printable makes visible what could change how a terminal shows a text that a
// peer may have written: control characters, those that turn its direction, and
// bytes that are not UTF-8. Line breaks and tabs stay. The escapes of characters
// are those of JSON.
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

// A printableWriter writes printable text. Each Write holds whole characters.
type printableWriter struct{ out io.Writer }

// Write implements io.Writer.
func (w printableWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.out, printable(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
