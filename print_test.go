package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestErrorsAreToldOfOnceEach(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	again := errors.New("park is lost")
	hinted := &usageError{errors.New("shop is lost"), "log in"}
	code := exit(&out, errors.Join(errors.Join(again, fmt.Errorf("%w: %w", again, io.EOF)), nil, hinted, again))
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
	want := "ticketproxy: park is lost\nticketproxy: park is lost: EOF\nticketproxy: shop is lost\nhint: log in\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain text, grüezi\n\tand more": "plain text, grüezi\n\tand more",
		"\x1b[2Jgone":                    `\x1b[2Jgone`,
		"a\rb\x00\x7f":                   `a\x0db\x00\x7f`,
		"\u009b31m":                      `\u009b31m`,
		"\u202eevil":                     `\u202eevil`,
		"\xff":                           `\xff`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// A peer whose answer holds terminal escapes reaches no terminal with them.
func TestPeersTextIsPrintable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	exit(&out, fmt.Errorf("asking the instance: it answered: %s", "\x1b]0;owned\a"))
	if strings.ContainsAny(out.String(), "\x1b\a") {
		t.Errorf("got %q", out.String())
	}
	k := &checklist{out: &out}
	k.fails("issuer", errors.New("\x1b[1m"), "\x1b[1m")
	k.warned("issuer", "\x1b[1m")
	k.passed("issuer", "%s", "\x1b[1m")
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("got %q", out.String())
	}
}
