package hint_test

import (
	"testing"

	"ticketproxy/hint"
)

// Nearest returns the closest word, and of two equally close words the first.
func TestNearest(t *testing.T) {
	t.Parallel()
	for _, words := range [][]string{{"abcdefgx", "abcdefxx"}, {"abcdefxx", "abcdefgx"}, {"abcdefgx", "abcdefgy"}} {
		if got := hint.Nearest("abcdefgh", words); got != "abcdefgx" {
			t.Errorf("of %q: %q", words, got)
		}
	}
}
