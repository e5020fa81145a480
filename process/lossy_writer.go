package process

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	maxUnwritten = 1 << 20     // bytes that may wait for a slow reader
	flushTimeout = time.Second // for the data that is unwritten when the program ends
)

var errNotRead = errors.New("nobody reads it")

// A LossyWriter writes in the background. Write never fails and never blocks, so a closed
// pipe, a reader that stopped reading, and a full disk do not block the program. Data
// that cannot be written is dropped and counted. Safe for concurrent use.
type LossyWriter struct {
	out io.Writer

	mu      sync.Mutex
	waiting [][]byte      // one element for each Write
	size    int           // bytes that are waiting
	idle    chan struct{} // closed when nothing is waiting; nil before the first Write
	writing bool          // a goroutine writes what is waiting
	lost    uint64        // how many Writes were dropped
	err     error         // why the last Write was dropped; nil when it was written
}

// NewLossyWriter returns a LossyWriter that writes to out.
func NewLossyWriter(out io.Writer) *LossyWriter { return &LossyWriter{out: out} }

// Write implements io.Writer. It always accepts all of p.
func (w *LossyWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size+len(p) > maxUnwritten {
		w.lost++
		w.err = errNotRead
		return len(p), nil
	}
	w.waiting = append(w.waiting, append([]byte(nil), p...))
	w.size += len(p)
	if !w.writing {
		w.writing, w.idle = true, make(chan struct{})
		go w.writeWaiting()
	}
	return len(p), nil
}

// writeWaiting writes until nothing is waiting.
func (w *LossyWriter) writeWaiting() {
	for {
		next := w.next()
		if next == nil {
			return
		}
		_, err := w.out.Write(next)
		w.wrote(next, err)
	}
}

// next returns the data to write next, nil when nothing is waiting.
func (w *LossyWriter) next() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.writing, w.waiting = false, nil
		close(w.idle)
		return nil
	}
	return w.waiting[0]
}

func (w *LossyWriter) wrote(p []byte, err error) {
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

// Flush waits until everything is written or dropped, for flushTimeout at most.
func (w *LossyWriter) Flush() {
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

// Losses returns how many Writes were dropped.
func (w *LossyWriter) Losses() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// Warning says that output is being lost. It is "" when the last Write was written.
func (w *LossyWriter) Warning() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		return ""
	}
	return fmt.Sprintf("the log cannot be written, and %d lines of it are lost: %v", w.lost, w.err)
}
