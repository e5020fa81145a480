package tokens

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// A record that was lost and is stored again
//
// Another process may hold a newer record, or be redeeming this one. So storeLostRecord has
// all be silent for the takeover delay. There is no need for that if the versions of the
// record in the store are, in a row: the one that is held, without an intent; none; the one
// that was stored again. Every newer record and every claim would be a version between. Only
// the order of the versions proves it. That the store was seen without a record proves
// nothing: another process may have stored it, used it and lost it since.

// witnessPatience bounds how long a Witness is waited for.
const witnessPatience = 2 * time.Second

// note remembers what the store has, as this process has last read or written it.
func (r *Refresher) note(now stored) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = now
}

// lostRecordLocked returns the record that the store had when it was last known, if the store
// now has none, and it was the one that is held, and nobody was redeeming it. Otherwise the
// version is empty.
func (r *Refresher) lostRecordLocked(cause error) stored {
	s := r.known
	if !errors.Is(cause, ErrNone) || s.Intent != nil || s.Generation != r.held.Generation || !s.Grant.Same(r.held.Grant) {
		return stored{}
	}
	return s
}

// endSilence takes back that nobody may ask the issuer for the takeover delay, after a lost
// record was stored again as now. It needs a Witness who says that the lost record was the
// last one: then no other process holds a newer record or is redeeming this one, and
// everything is as it was before the loss. The caller holds r.advancing.
func (r *Refresher) endSilence(now stored) {
	r.mu.Lock()
	lost := r.lost
	r.lost = stored{}
	r.mu.Unlock()
	w, ok := r.config.Store.(Witness)
	if !ok || lost.version == "" || now.Intent != nil ||
		now.Generation != lost.Generation || !now.Grant.Same(lost.Grant) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), witnessPatience)
	defer cancel()
	if !w.Restored(ctx, lost.version, now.version) {
		return
	}
	ctx, cancel = storeContext()
	defer cancel()
	version, err := r.config.Store.Swap(ctx, now.version, lost.Record)
	if err != nil { // the record says to wait, and another process may have acted on it
		r.config.Log.Warn("the wait after the loss of the record stays", zap.Error(err))
		return
	}
	r.note(stored{Record: lost.Record, version: version})
	r.adopt(lost.Record)
	r.config.Log.Info("nobody holds a newer record than the one that was lost: there is nothing to wait for",
		zap.Uint64("generation", lost.Generation))
}
