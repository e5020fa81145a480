package config

import "testing"

// nearest returns the closest word, and of two equally close words the first.
func TestNearest(t *testing.T) {
	t.Parallel()
	for _, words := range [][]string{{"abcdefgx", "abcdefxx"}, {"abcdefxx", "abcdefgx"}, {"abcdefgx", "abcdefgy"}} {
		if got := nearest("abcdefgh", words); got != "abcdefgx" {
			t.Errorf("of %q: %q", words, got)
		}
	}
}
