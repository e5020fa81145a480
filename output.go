package main

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	maxUnwritten = 1 << 20     // bytes that may wait for a slow reader
	flushTimeout = time.Second // for what is unwritten when the program ends
)

var errUnread = errors.New("nobody reads it")

// A lossyWriter passes on what is written to it in the background. Write never
// fails and never blocks, so a reader that has left, a reader that stopped
// reading, and a full disk hold up nothing. What cannot be passed on is dropped
// and counted. Safe for concurrent use.
type lossyWriter struct {
	out io.Writer

	mu      sync.Mutex
	waiting [][]byte      // one element for each Write
	size    int           // of all that are waiting
	idle    chan struct{} // closed when nothing is waiting; nil before the first Write
	writing bool          // a goroutine passes on what is waiting
	lost    uint64        // how many Writes were dropped
	err     error         // why the last Write was dropped; nil when it was passed on
}

// Write implements io.Writer. It always takes all of p.
func (w *lossyWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size+len(p) > maxUnwritten {
		w.lost++
		w.err = errUnread
		return len(p), nil
	}
	w.waiting = append(w.waiting, append([]byte(nil), p...))
	w.size += len(p)
	if !w.writing {
		w.writing, w.idle = true, make(chan struct{})
		go w.passOn()
	}
	return len(p), nil
}

// passOn writes until nothing is waiting.
func (w *lossyWriter) passOn() {
	for {
		next := w.next()
		if next == nil {
			return
		}
		_, err := w.out.Write(next)
		w.wrote(next, err)
	}
}

// next returns what is to be written next; nil when nothing is waiting.
func (w *lossyWriter) next() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.writing, w.waiting = false, nil
		close(w.idle)
		return nil
	}
	return w.waiting[0]
}

func (w *lossyWriter) wrote(p []byte, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting[0] = nil
	w.waiting = w.waiting[1:]
	w.size -= len(p)
	w.err = err
	if err != nil {
		w.lost++
	}
}

// flush waits until all is passed on or dropped, for flushTimeout at most.
func (w *lossyWriter) flush() {
	w.mu.Lock()
	idle := w.idle
	w.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-time.After(flushTimeout):
	}
}

// losses returns how many Writes were dropped.
func (w *lossyWriter) losses() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// warning says that output is being lost; "" when the last Write was passed on.
func (w *lossyWriter) warning() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		return ""
	}
	return fmt.Sprintf("the log cannot be written, and %d lines of it are lost: %v", w.lost, w.err)
}
