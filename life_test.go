package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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

func TestTogetherJoinsAllErrors(t *testing.T) {
	t.Parallel()
	fails := func(text string) func() error { return func() error { return errors.New(text) } }
	err := together([]func() error{fails("a"), func() error { return nil }, fails("b")})
	if err == nil || err.Error() != "a\nb" {
		t.Errorf("got %v", err)
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

// A writer blocks until it is let go, and then fails or not.
type blocked struct {
	letGo chan struct{}
	err   error
	got   bytes.Buffer
}

func (b *blocked) Write(p []byte) (int, error) {
	<-b.letGo
	if b.err != nil {
		return 0, b.err
	}
	return b.got.Write(p)
}

func TestLogWriterBlocksNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &blocked{letGo: make(chan struct{})}
		w := newLogWriter(out)
		for n := range logBacklog + 11 { // one is being written
			fmt.Fprintf(w, "%d\n", n)
			synctest.Wait()
		}
		if lost, warning := w.Lost(); lost != 10 || warning != "10 lines of the log were lost since 2000-01-01T00:00:00Z: nobody reads it" {
			t.Errorf("lost %d: %q", lost, warning)
		}
		began := time.Now()
		go func() {
			time.Sleep(flushTimeout / 2)
			close(out.letGo)
		}()
		w.Close()
		if took := time.Since(began); took != flushTimeout/2 {
			t.Errorf("closed after %v", took)
		}
		if lines := strings.Count(out.got.String(), "\n"); lines != logBacklog+1 {
			t.Errorf("%d lines were written", lines)
		}
	})
}

func TestLogWriterGivesUpAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &blocked{letGo: make(chan struct{}), err: io.ErrClosedPipe}
		w := newLogWriter(out)
		io.WriteString(w, "line\n")
		began := time.Now()
		w.Close()
		if took := time.Since(began); took != flushTimeout {
			t.Errorf("closed after %v", took)
		}
		close(out.letGo)
		synctest.Wait()
		if lost, warning := w.Lost(); lost != 1 || !strings.HasSuffix(warning, io.ErrClosedPipe.Error()) {
			t.Errorf("lost %d: %q", lost, warning)
		}
	})
}
