package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// logBacklog bounds the lines that wait to be written.
const logBacklog = 4096

// flushTimeout is how long the process waits at its end for its last lines.
const flushTimeout = time.Second

var errBacklog = errors.New("nobody reads it")

// A logWriter writes lines in the background, so that a reader of the log who
// stops reading holds up neither a request nor a refresh. A line that cannot be
// written, or finds the backlog full, is counted and dropped. Safe for concurrent
// use.
type logWriter struct {
	lines   chan []byte
	closing chan struct{}
	closed  chan struct{}

	mu    sync.Mutex
	lost  uint64
	cause error     // why the last line was lost
	since time.Time // when the first line was lost
}

// newLogWriter returns a writer to out. Close ends its goroutine.
func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{
		lines:   make(chan []byte, logBacklog),
		closing: make(chan struct{}),
		closed:  make(chan struct{}),
	}
	go w.run(out)
	return w
}

func (w *logWriter) run(out io.Writer) {
	defer close(w.closed)
	write := func(line []byte) {
		if _, err := out.Write(line); err != nil {
			w.lose(err)
		}
	}
	for {
		select {
		case line := <-w.lines:
			write(line)
		case <-w.closing:
			for {
				select {
				case line := <-w.lines:
					write(line)
				default:
					return
				}
			}
		}
	}
}

// Write implements io.Writer. It returns at once and never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	select {
	case w.lines <- bytes.Clone(line):
	default:
		w.lose(errBacklog)
	}
	return len(line), nil
}

// Close waits for the lines that were written, at most for flushTimeout. What is
// written after it is lost. It is called once.
func (w *logWriter) Close() {
	close(w.closing)
	select {
	case <-w.closed:
	case <-time.After(flushTimeout):
	}
}

func (w *logWriter) lose(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost == 0 {
		w.since = time.Now()
	}
	w.lost++
	w.cause = err
}

// Lost returns how many lines were lost, and a warning in words; "" for none.
// Safe on a nil writer.
func (w *logWriter) Lost() (lines uint64, warning string) {
	if w == nil {
		return 0, ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost == 0 {
		return 0, ""
	}
	return w.lost, fmt.Sprintf("%d lines of the log were lost since %s: %v",
		w.lost, w.since.UTC().Format(time.RFC3339), w.cause)
}
