package hint_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"ticketproxy/hint"
)

func TestHint(t *testing.T) {
	t.Parallel()
	err := hint.With(fmt.Errorf("writing: %w", io.ErrShortWrite), "make room")
	if err.Error() != "writing: short write" || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
	for want, err := range map[string]error{
		"":          io.EOF,
		"make room": fmt.Errorf("storing: %w", err),
		"log in":    hint.With(err, "log in"),
		"first":     errors.Join(io.EOF, hint.With(io.EOF, "first"), err),
	} {
		if got := hint.Of(err); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
	if hint.Of(nil) != "" {
		t.Error("nil has a hint")
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("logging in: %w", hint.Usage(io.EOF, "name an account"))
	if !hint.IsUsage(err) || hint.Of(err) != "name an account" || !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	if hint.IsUsage(hint.With(io.EOF, "name an account")) || hint.IsUsage(nil) {
		t.Error("an error that is not about the command line is taken for a usage error")
	}
}
