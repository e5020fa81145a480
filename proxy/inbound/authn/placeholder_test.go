package authn

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestPlaceholders tests what placeholders are refused.
func TestPlaceholders(t *testing.T) {
	t.Parallel()
	virtual(t, func(t *testing.T, f *fixture) {
		made, err := f.NewPlaceholder("shop", time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		p := made.Reveal()
		other := newFixture(t)
		other.Close()
		other.placeholderKey = []byte(strings.Repeat("q", 32))
		foreign, _ := other.NewPlaceholder("shop", time.Now().Add(time.Hour))
		for name, test := range map[string][2]string{
			"a good one":           {p, "shop by placeholder"},
			"with another key":     {foreign.Reveal(), "not one of ours"},
			"changed":              {damaged(p, 50), "not one of ours"},
			"cut off":              {p[:len(p)-4], "not one of ours"},
			"longer":               {p + "AAAA", "not one of ours"},
			"without content":      {"tpp_", "not one of ours"},
			"very long":            {"tpp_" + strings.Repeat("A", 7000), "not one of ours"},
			"a short one of zeros": {"tpp_" + strings.Repeat("A", 40), "not one of ours"},
		} {
			if got := f.ask(bearer(test[0])); !strings.Contains(got, test[1]) {
				t.Errorf("%s: %s", name, got)
			}
			leaks(t, f.ask(bearer(test[0])), test[0])
		}
		replica := newFixture(t)
		replica.Close()
		replica.proofs = f.proofs // of the same file
		if got := replica.ask(bearer(p)); got != "shop by placeholder" {
			t.Errorf("another replica: %s", got)
		}
		time.Sleep(time.Hour)
		if got := f.ask(bearer(p)); !strings.Contains(got, "expired 0 s ago") {
			t.Error(got)
		}
		if _, err := f.NewPlaceholder("nobody", time.Now().Add(time.Hour)); err == nil {
			t.Error("a placeholder of nobody")
		}
		long, err := f.NewPlaceholder("shop", time.Now().Add(time.Hour))
		if err != nil || len(long.Reveal()) > maxPlaceholder {
			t.Error(err)
		}
		f.placeholderKey = nil
		if got := f.ask(bearer(p)); !strings.Contains(got, "not one of ours") {
			t.Errorf("without a key for them: %s", got)
		}
	})
}

// TestKeysAreComparedByDigest holds the form of the comparison: the table has digests alone,
// so that no text of a key is compared with another.
func TestKeysAreComparedByDigest(t *testing.T) {
	t.Parallel()
	virtual(t, func(t *testing.T, f *fixture) {
		for digest, known := range f.keys {
			if digest != known.digest || known.caller.Name == "" {
				t.Errorf("%x: %+v", digest, known)
			}
		}
		seen := map[string]bool{}
		for range 1000 {
			key, digest := NewKey()
			if seen[key.Reveal()] || checkKey(key.Reveal()) != nil || fmt.Sprintf("%x", digest) != key.Hash() {
				t.Fatal("a key is made wrong")
			}
			seen[key.Reveal()] = true
		}
	})
}
