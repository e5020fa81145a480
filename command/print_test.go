package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/server"
)

func TestErrorsArePrintedOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	again := errors.New("park is lost")
	hinted := hint.Usage(errors.New("shop is lost"), "log in")
	code := ExitCode(&out, errors.Join(errors.Join(again, fmt.Errorf("%w: %w", again, io.EOF)), nil, hinted, again))
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
		"\x1b[2Jgone":                    `\u001b[2Jgone`,
		"a\rb\x00\x7f":                   `a\u000db\u0000\u007f`,
		"\u009b31m":                      `\u009b31m`,
		"\u202eevil":                     `\u202eevil`,
		"\xff":                           `\xff`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// TestPeersTextIsPrintable tests that a peer's terminal escapes are not printed.
func TestPeersTextIsPrintable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	ExitCode(&out, fmt.Errorf("asking the instance: it answered: %s", "\x1b]0;owned\a"))
	if strings.ContainsAny(out.String(), "\x1b\a") {
		t.Errorf("got %q", out.String())
	}
	for _, finding := range []server.Finding{
		{Subject: "issuer", Err: errors.New("\x1b[1m"), Hint: "\x1b[1m"},
		{Subject: "issuer", Warning: "\x1b[1m"},
		{Subject: "issuer", Text: "\x1b[1m"},
	} {
		printFinding(&out, finding)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("got %q", out.String())
	}
}

// TestLogIsPrintable tests that a peer's text in the log harms no terminal and is valid JSON.
func TestLogIsPrintable(t *testing.T) {
	t.Parallel()
	const hostile = "\x1b[2J\u009b31m\u202e\x7f"
	for _, format := range []string{"json", "console"} {
		var out bytes.Buffer
		p := &Env{Stderr: &out}
		p.logger(config.Config{LogLevel: "info", LogFormat: format}).Info(hostile, zap.String("error", hostile))
		if strings.ContainsFunc(out.String(), harmful) {
			t.Errorf("%s: %q", format, out.String())
		}
		var entry map[string]string
		if format == "json" {
			if err := json.Unmarshal(out.Bytes(), &entry); err != nil || entry["msg"] != hostile || entry["error"] != hostile {
				t.Errorf("%v: %q", err, out.String())
			}
		}
	}
}
