package command

import (
	"crypto/sha256"
	"errors"
	"regexp"
	"strings"
	"testing"

	"ticketproxy/config/callers"
)

// TestKey tests that the key alone is on stdout, and that what stderr says is CALLERS_FILE.
func TestKey(t *testing.T) {
	t.Parallel()
	var out, messages lockedBuffer
	env := &Env{Stdout: &out, Stderr: &messages}
	if err := Run(t.Context(), env, []string{"key", "shop-2"}); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^tpk_[A-Za-z0-9_-]{49}\n$`).MatchString(out.String()) {
		t.Errorf("stdout: %q", out.String())
	}
	key := strings.TrimSpace(out.String())
	if strings.Contains(messages.String(), key[4:16]) {
		t.Error("stderr has the key")
	}
	_, file, _ := strings.Cut(messages.String(), "\n\n")
	parsed, err := callers.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if keys := parsed.Callers["shop-2"].Keys; len(keys) != 1 || keys[0] != sha256.Sum256([]byte(key)) {
		t.Errorf("%s\nhas the digests %x", file, keys)
	}
}

func TestKeyMistakes(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"key", "key a b", "key Shop", "key 2", "key ../x", "key " + strings.Repeat("a", 64)} {
		var out lockedBuffer
		err := Run(t.Context(), &Env{Stdout: &out, Stderr: &out}, strings.Fields(args))
		if ExitCode(&out, err) != 2 || !strings.Contains(out.String(), "hint: ") || strings.Contains(out.String(), "tpk_") {
			t.Errorf("%s: %s", args, out.String())
		}
	}
	if err := Run(t.Context(), &Env{Stdout: brokenWriter{}, Stderr: new(lockedBuffer)}, []string{"key", "shop"}); err == nil {
		t.Error("a key that nobody has seen is no error")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }
