package process

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

// TestReaderThatStopsDoesNotBlock also tests that memory is bounded, and that the kept
// lines are written once the reader continues.
func TestReaderThatStopsDoesNotBlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader, out := io.Pipe()
		w := NewLossyWriter(out)
		line := []byte(strings.Repeat("x", 1023) + "\n")
		for range 2048 {
			if n, err := w.Write(line); n != len(line) || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
		}
		if lost := w.Losses(); lost != 1024 {
			t.Errorf("%d lines are lost, want 1024", lost)
		}
		if warning := w.Warning(); !strings.Contains(warning, "1024 lines") || !strings.Contains(warning, "nobody reads it") {
			t.Errorf("warning %q", warning)
		}
		start := time.Now()
		w.Flush()
		if waited := time.Since(start); waited != flushTimeout {
			t.Errorf("waited %v for a reader that does not read", waited)
		}
		got := make(chan int)
		go func() {
			all, _ := io.ReadAll(reader)
			got <- len(all)
		}()
		w.Flush()
		if warning := w.Warning(); warning != "" {
			t.Errorf("warning %q after everything was written", warning)
		}
		out.Close()
		if n := <-got; n != 1<<20 {
			t.Errorf("%d bytes were written", n)
		}
	})
}

// TestOutputThatFailsIsCounted tests that a failed write loses only its own line, and that
// the warning ends with the failure.
func TestOutputThatFailsIsCounted(t *testing.T) {
	t.Parallel()
	var passed bytes.Buffer
	full := true
	w := NewLossyWriter(writerFunc(func(p []byte) (int, error) {
		if full {
			return 0, errors.New("no space left")
		}
		return passed.Write(p)
	}))
	for i := range 3 {
		full = i < 2
		fmt.Fprintf(w, "line %d\n", i)
		w.Flush()
		if warning := w.Warning(); full != strings.Contains(warning, fmt.Sprintf("%d lines of it are lost: no space left", i+1)) {
			t.Errorf("after line %d: %q", i, warning)
		}
	}
	if w.Losses() != 2 || passed.String() != "line 2\n" {
		t.Errorf("%d lost, %q written", w.Losses(), passed.String())
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
