package config

import "testing"

// The nearest word wins, and of two that are equally near the first.
func TestNearest(t *testing.T) {
	t.Parallel()
	for _, words := range [][]string{{"abcdefgx", "abcdefxx"}, {"abcdefxx", "abcdefgx"}, {"abcdefgx", "abcdefgy"}} {
		if got := nearest("abcdefgh", words); got != "abcdefgx" {
			t.Errorf("of %q: %q", words, got)
		}
	}
}
