package tokens

import (
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"
)

// errStoreLost says that the store has lost the record that is held.
var errStoreLost = errors.New("the store has lost the record that is held")

// load returns the stored record, after storing again what the store has lost, and
// after applying a new seed. With nothing stored and no seed the record is empty.
// The caller holds r.advancing.
func (r *Refresher) load() (Record, Version, error) {
	ctx, cancel := storeContext()
	defer cancel()
	for range maxRounds {
		applied := "" // why the seed was applied
		now, err := commit(ctx, r.config.Store, nil, func(s stored) (Record, error) {
			applied = ""
			if r.storeLostRecord(s.Record, s.version, s.err) {
				return Record{}, errStoreLost
			}
			if s.err != nil && !errors.Is(s.err, ErrNone) {
				return Record{}, s.err
			}
			var next Record
			if next, applied = r.applySeed(s.Record, s.err != nil); applied == "" {
				return Record{}, errKeep
			}
			return next, nil
		})
		switch {
		case errors.Is(err, errStoreLost):
			if err := r.saveHeld(); err != nil {
				return Record{}, "", err
			}
			continue
		case err != nil && applied != "":
			r.config.Observer.WriteFailed()
			return Record{}, "", &StateError{Doing: "storing seed", Write: true, Err: err}
		case err != nil:
			return Record{}, "", &StateError{Doing: "loading record", Err: err}
		case applied != "":
			r.config.Log.Info(applied, zap.Uint64("generation", now.Generation))
			r.mu.Lock()
			r.seedHash, r.seedRefused = now.Seed, false
			r.mu.Unlock()
		}
		r.note(now)
		return now.Record, now.version, nil
	}
	return Record{}, "", errUnsettled
}

// storeLostRecord reports whether the store has lost the record that is held: it
// has none, a damaged one, or an older one, as of a backup. Then saveHeld stores
// it again. A dead record is not worth that.
//
// Another process may hold a newer record, or be redeeming this one, of which the
// store says nothing any more. So the record that is stored again says that nobody
// may ask the issuer for the takeover delay, in which the other process acts. Where the
// store can tell that there is none, endSilence takes that back.
func (r *Refresher) storeLostRecord(rec Record, version Version, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !isLost(r.held, r.saving, rec, err) {
		return false
	}
	if r.saving == saveDone {
		r.config.Log.Warn("state has lost the record that is held: storing it again",
			zap.Uint64("generation", r.held.Generation), zap.Error(err))
		if r.lost = r.lostRecordLocked(err); r.lost.version != "" {
			r.held = r.datedLocked(r.lost.Record)
		}
		r.held.NotBefore = latest(r.held.NotBefore, time.Now().Add(r.config.Takeover))
		r.saving = savePending
	}
	r.replacing = version
	return true
}

// applySeed returns the record that begins anew with the operator's seed, and why.
// The reason is empty when the seed is not new to rec. With none, nothing is
// stored yet.
func (r *Refresher) applySeed(rec Record, none bool) (_ Record, why string) {
	seed := r.config.Seed()
	r.mu.Lock()
	defer r.mu.Unlock()
	hash := seed.Hash()
	if hash == "" || hash == r.seedHash {
		return Record{}, ""
	}
	if hash == rec.Seed || slices.Contains(rec.Spent, hash) {
		r.seedHash = hash
		return Record{}, ""
	}
	next := Record{Grant: Grant{RefreshToken: seed}, Seed: hash, Spent: rec.Spent, NotBefore: rec.NotBefore}
	if none {
		return next, "state is empty: beginning with the seed"
	}
	next.Generation = rec.Generation + 1
	if rec.Dead == nil { // if the seed is not valid, the refresh token before it goes on
		next.Grant.Fallback = rec.Grant.RefreshToken
	}
	return next, "seed is new: beginning a new line with it"
}

// adopt takes over a stored record that is newer than what is held, publishes
// it, and returns the snapshot that serves.
func (r *Refresher) adopt(rec Record) *snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch adopts(r.held, r.saving, rec) {
	case adoptNothing:
		return r.current.Load()
	case adoptSame:
		rec = r.datedLocked(rec)
		r.held, r.saving = rec, saveDone
		if rec.Dead != nil {
			r.markDeadLocked(rec.Dead.Reason)
		}
		if v := r.current.Load(); v != nil && v.token.Generation == rec.Generation {
			return v
		}
		return r.publishLocked()
	}
	r.config.Log.Info("adopted record", zap.Uint64("generation", rec.Generation))
	if r.held.Generation == r.refused && rec.Generation > r.refused &&
		rec.Grant.AccessToken.Equal(r.held.Grant.AccessToken) && rec.Grant.Obtained.Equal(r.held.Grant.Obtained) {
		r.refused = rec.Generation // its access token goes on under another number, as after a fallback
	}
	rec = r.datedLocked(rec)
	r.held, r.saving = rec, saveDone
	r.failure = nil
	if rec.Dead != nil {
		r.markDeadLocked(rec.Dead.Reason)
	}
	if rec.Generation < r.refused { // a dead record gave way to one of an older generation
		r.refused, r.refusals = 0, refusals{}
	}
	return r.publishLocked()
}

// pollStore adopts what another process has stored, and stores what could not be
// stored before.
func (r *Refresher) pollStore() {
	if r.isPending() && r.obstacle() != nil || !r.advancing.tryLock() {
		return // too soon to try again; or a refresh is under way, which loads the record itself
	}
	defer r.advancing.unlock()
	if err := r.saveHeld(); err != nil {
		r.fail(err)
		return
	}
	rec, _, err := r.load()
	r.noteState(err)
	if err == nil {
		r.adopt(rec)
	}
}

// noteState keeps the last error of the state for Status, and logs a change.
func (r *Refresher) noteState(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && r.state == nil {
		r.config.Log.Error("state is unusable", zap.Error(err), hintOf(err))
	}
	if err == nil && r.state != nil {
		r.config.Log.Info("state is usable again")
	}
	r.state = err
}
