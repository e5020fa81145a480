package kubernetes

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"ticketproxy/tokens"
)

// Waits of a copier.
const (
	copyDelay     = 500 * time.Millisecond // least delay of a copy that another process should write; at most 5 times that
	minCopyWait   = time.Second            // before a copy that failed is written again
	maxCopyWait   = time.Minute            // the same, after many failures in a row
	copyPatience  = 3 * time.Second        // for the copies under way when the store is closed
	deniedCopying = 10 * time.Minute       // before it is tried again after a refusal of the server
)

// A copier writes what readers may know of the accounts' records from the state's Secret to
// the one with the access tokens.
//
// The process that has stored a record copies it at once, in the background: the copy
// neither delays nor fails the swap. If it ends in between, the other processes see by their
// watches that the copy is behind, and one of them writes it after a short delay. A process
// that starts sees it, too. That takes no reads, except of a Secret that was never seen. If
// the server forbids it, the copier is off for a while, and reports that: there may be no
// readers. It is on again when the server tells of the Secret, which somebody may have made
// anew.
//
// A copy replaces the Secret of a resourceVersion that was read before the state was. So an
// older record never replaces a newer one. A copy of a higher generation than the state's
// gives way only after the state was read again: then it is one from before the state was
// made anew.
//
// Safe for concurrent use.
type copier struct {
	state, access *Secret
	ctx           context.Context
	cancel        context.CancelFunc
	closing       chan struct{}
	delay         time.Duration // copyDelay

	report tokens.CopyReport

	mu       sync.Mutex
	closed   bool
	offUntil time.Time
	accounts []string               // that this process keeps
	workers  map[string]*copyWorker // by account
	working  sync.WaitGroup
}

// A copyWorker copies one account's record until the copy is right.
type copyWorker struct {
	now   chan struct{} // ends its delay
	again bool          // it was asked to copy since the last copy began; guarded by copier.mu
	shown bool          // the server has told of the Secret since then; guarded by copier.mu
}

func (c *copier) begin(state, access *Secret) {
	c.state, c.access = state, access
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.closing, c.delay = make(chan struct{}), copyDelay
	c.workers = map[string]*copyWorker{}
	access.watch.connected, access.watch.shown = c.lookAtAll, c.on
}

// keep has the copier look at an account's copy each time when the watch begins.
func (c *copier) keep(account string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accounts = append(c.accounts, account)
}

func (c *copier) lookAtAll() {
	c.mu.Lock()
	accounts := slices.Clone(c.accounts)
	c.mu.Unlock()
	for _, account := range accounts {
		c.look(account)
	}
}

// on ends the time in which the copier is off, and has it look at all copies then. A copy
// under way that is refused is tried again: the refusal may be older.
func (c *copier) on() {
	c.mu.Lock()
	off := time.Now().Before(c.offUntil)
	c.offUntil = time.Time{}
	for _, w := range c.workers {
		w.shown = true
	}
	c.mu.Unlock()
	if off {
		c.lookAtAll()
	}
}

// close waits for the copies under way. Those that wait for something are given up.
func (c *copier) close() {
	c.mu.Lock()
	if !c.closed {
		close(c.closing)
	}
	c.closed = true
	c.mu.Unlock()
	patience := time.AfterFunc(copyPatience, c.cancel)
	defer patience.Stop()
	c.working.Wait()
	c.cancel()
}

// stored has an account's record copied now, if this process has changed what readers may
// know of it.
func (c *copier) stored(account string) {
	if want, ok := recordIn(c.state.known(), account); ok && c.behind(account, want) {
		c.start(account, 0)
	}
}

// look has an account's record copied after a delay, if the copy is seen to be behind. The
// process that has stored the record should have copied it by then.
func (c *copier) look(account string) {
	want, ok := recordIn(c.state.known(), account)
	if ok && (c.access.known().Metadata.ResourceVersion != "" || c.access.watch.live.Load()) && c.behind(account, want) {
		c.start(account, c.delay+rand.N(4*c.delay))
	}
}

// recordIn returns an account's record in a Secret; false when there is none that can be
// used, or none with anything to copy.
func recordIn(o object, account string) (tokens.Record, bool) {
	data, ok := o.Data[account+keySuffix]
	if !ok {
		return tokens.Record{}, false
	}
	record, err := tokens.Decode(data)
	return record, err == nil && (!record.Grant.AccessToken.IsZero() || record.Dead != nil)
}

// behind reports whether the copy, as far as it is known, differs from the record.
func (c *copier) behind(account string, want tokens.Record) bool {
	have, ok := recordIn(c.access.known(), account)
	return !ok || !have.SameAccess(want)
}

// start has a worker copy the account's record after a delay, unless one does.
func (c *copier) start(account string, delay time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || time.Now().Before(c.offUntil) {
		return
	}
	w := c.workers[account]
	if w == nil {
		w = &copyWorker{now: make(chan struct{}, 1)}
		c.workers[account] = w
		c.working.Go(func() { c.work(account, w, delay) })
		return
	}
	w.again = true
	if delay == 0 {
		select {
		case w.now <- struct{}{}:
		default:
		}
	}
}

// work is a worker.
func (c *copier) work(account string, w *copyWorker, delay time.Duration) {
	for failures := 0; ; failures++ {
		if delay > 0 {
			select {
			case <-time.After(delay):
			case <-w.now:
			case <-c.closing:
				return
			}
		}
		c.mu.Lock()
		w.again, w.shown = false, false
		c.mu.Unlock()
		written, err := c.copy(account)
		if written {
			c.report.Written()
		}
		if c.finished(account, w, err) {
			if isRefusal(err) {
				c.report.Failed(err, c.access.known().Metadata.ResourceVersion != "")
			}
			return
		}
		delay = 0
		if err != nil {
			delay = min(minCopyWait<<min(failures, 10), maxCopyWait)
			delay = delay/2 + rand.N(delay/2)
		}
	}
}

// finished ends a worker after a copy, unless there is something left to do.
func (c *copier) finished(account string, w *copyWorker, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil && w.again: // there may be something new
		return false
	case err == nil:
	case w.shown && c.ctx.Err() == nil:
		return false
	case isRefusal(err):
		c.offUntil = time.Now().Add(deniedCopying)
	case c.ctx.Err() != nil:
	default:
		return false
	}
	delete(c.workers, account)
	return true
}

// isRefusal reports whether err is an answer of the API server that will be the same until
// somebody changes rights or the Secret.
func isRefusal(err error) bool {
	status, answered := errors.AsType[*statusError](err)
	return answered && status.code < 500 && status.code != http.StatusConflict && status.code != http.StatusTooManyRequests
}
