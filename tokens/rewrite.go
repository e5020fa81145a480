package tokens

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// rewritePatience is how long Rewrite waits for a refresh. It is longer than the takeover
// delay, so that the process is silent that has not ended its refresh by then.
const rewritePatience = 45 * time.Second

// Rewrite stores the record again as it is, for a store that encrypts it anew, and returns
// it. The error is ErrNone when there is no record. What cannot be read is not written over.
//
// While another process refreshes, Rewrite waits, for 45 s at most. A refresh goes on even if
// the record is rewritten meanwhile: its process finds the record changed, and settles that.
// But a file store finishes the last write of a killed process only while the record is
// unchanged.
func Rewrite(ctx context.Context, s Store) (Record, error) {
	w := refreshWait{store: s}
	for {
		now, err := commit(ctx, s, nil, func(old stored) (Record, error) {
			if old.err == nil && w.busy(old.Intent) {
				return Record{}, errRefreshing
			}
			return old.Record, old.err
		})
		switch {
		case err == nil:
			return now.Record, nil
		case errors.Is(err, ErrNone):
			return Record{}, ErrNone
		case !errors.Is(err, errRefreshing):
			return Record{}, fmt.Errorf("rewriting record: %w", err)
		}
		select {
		case <-ctx.Done():
			return Record{}, fmt.Errorf("rewriting record: %w: %w", err, ctx.Err())
		case <-time.After(w.pause()):
		}
	}
}

var errRefreshing = errors.New("another process is refreshing the account")

// A refreshWait waits for the refresh of another process.
type refreshWait struct {
	store Store
	seen  sighting
	gone  bool // whether its holder has ended
}

// busy reports whether the refresh of an intent may be under way.
func (w *refreshWait) busy(intent *Intent) bool {
	if intent == nil {
		return false
	}
	if w.seen.id != intent.ID {
		w.seen, w.gone = sighting{id: intent.ID, since: time.Now()}, false
	}
	if w.gone || time.Since(w.seen.since) >= rewritePatience {
		return false
	}
	p, ok := w.store.(Presence)
	w.gone = ok && p.Gone(intent.Holder)
	return true // if it is gone, the store may have finished its last write: the record is read again
}

// pause returns how long to wait before the record is read again.
func (w *refreshWait) pause() time.Duration {
	if w.gone {
		return 0
	}
	return time.Second
}
