package tokens

import (
	"errors"

	"go.uber.org/zap"
)

// How a grant that was obtained is stored
//
// hold keeps the record that follows from the answer; saveHeld stores it. Until it is
// stored, the store has the record as it was claimed, with the old refresh token and the
// intent, and apps get the old access token. When a write fails, Run and Drain try again,
// and publishUnsaved hands out the new access token once the old one no longer serves. If
// the process ends before it is stored, the next process finds the intent, and treats the
// refresh as one whose answer was lost.

// hold keeps rec's successor. It is to replace the stored record of that version. The
// failure is not nil when only the refresh token is new.
func (r *Refresher) hold(rec, next Record, version Version, failure error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held, r.saving, r.replacing = next, savePending, version
	if failure == nil {
		r.failure = nil
	} else if rec.Generation == r.refused { // its access token goes on under another number
		r.refused = next.Generation
	}
}

// saveHeld stores a held grant that is not stored yet, and publishes it. It
// replaces any record of an older generation, whoever holds an intent there: the
// held refresh token may be the only living one.
func (r *Refresher) saveHeld() error {
	r.mu.Lock()
	rec, version, pending := r.held, r.replacing, r.saving >= savePending
	r.mu.Unlock()
	if !pending {
		return nil
	}
	ctx, cancel := storeContext()
	defer cancel()
	superseded := false
	now, err := commit(ctx, r.config.Store, &stored{version: version}, func(s stored) (Record, error) {
		switch settleGrant(s, rec) {
		case settleUnknown:
			return Record{}, errors.Join(s.cause, s.err)
		case settleStored:
			return Record{}, errKeep
		case settleSuperseded:
			superseded = true
			return Record{}, errKeep
		case settleStoreLost:
			r.config.Log.Warn("state has lost the record that was announced: storing over it",
				zap.Uint64("stored", s.Generation), zap.Uint64("generation", rec.Generation), zap.Error(s.err))
		}
		r.mu.Lock()
		r.replacing = s.version
		r.mu.Unlock()
		return rec, nil
	})
	switch {
	case err != nil:
		r.notSaved()
		return &StateError{Doing: "storing grant", Write: true, Err: err}
	case superseded:
		r.config.Log.Warn("a newer record is stored: dropping the one held", zap.Uint64("generation", now.Generation))
		r.supersede(now.Record)
	default:
		r.note(now)
		r.saved(now.Record)
		r.endSilence(now)
	}
	return nil
}

// notSaved notes that the held grant could not be stored.
func (r *Refresher) notSaved() {
	r.config.Observer.WriteFailed()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saving = saveFailed
}

// saved publishes the held grant, which is durable now.
func (r *Refresher) saved(rec Record) {
	r.mu.Lock()
	if r.saving == saveFailed && r.failure != nil && !r.failure.dead { // the failure was that it could not be stored
		r.failure = nil
	}
	r.mu.Unlock()
	r.adopt(rec)
	r.config.Log.Info("record stored", zap.Uint64("generation", rec.Generation), zap.Time("expiry", rec.Grant.Expiry))
}

// supersede gives up a grant that is not stored for the one that is.
func (r *Refresher) supersede(newer Record) {
	r.mu.Lock()
	r.saving = saveNothing
	r.mu.Unlock()
	r.adopt(newer)
}

// publishUnsaved returns the snapshot that replaced past; nil when there is none. A grant
// that could not be stored is published only here, when past no longer serves: an
// access token that is not durable is better than none.
func (r *Refresher) publishUnsaved(past *snapshot) *snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := r.current.Load(); v != past {
		return v
	}
	if r.saving != saveFailed || past != nil && past.token.Generation == r.held.Generation {
		return nil
	}
	return r.publishLocked()
}
