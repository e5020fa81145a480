package tokens

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"ticketproxy/secret"
)

// load returns the stored record, after putting back what the store has lost
// and planting a new seed. With nothing stored and no seed the record is empty.
// r.turn is held.
func (r *Refresher) load() (Record, Version, error) {
	ctx, cancel := context.WithTimeout(context.Background(), storeDeadline)
	defer cancel()
	for range maxRounds {
		rec, version, err := r.Store.Load(ctx)
		if r.regressed(rec, version, err) {
			if err := r.saveHeld(); err != nil {
				return Record{}, "", err
			}
			continue
		}
		if err != nil && !errors.Is(err, ErrNone) {
			return Record{}, "", &StateError{Doing: "loading record", Err: err}
		}
		next, why := r.plant(rec, err != nil)
		if why == "" {
			return rec, version, nil
		}
		version, err = r.Store.Swap(ctx, version, next)
		if err == nil {
			r.log().Info(why, zap.Uint64("generation", next.Generation))
			r.mu.Lock()
			r.planted, r.misled = next.Seed, false
			r.mu.Unlock()
			return next, version, nil
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrUnknown) {
			r.writeFailed()
			return Record{}, "", &StateError{Doing: "storing seed", Write: true, Err: err}
		}
	}
	return Record{}, "", errUnsettled
}

// regressed reports whether the store has lost the record that is held: it has
// none, a damaged one, or an older one, as of a backup. Then ours is to be
// stored again, as a grant that never was. A dead one is not worth that.
//
// Another process may hold a newer record, or be redeeming this one, of which
// the store says nothing any more. So whoever stores it again binds all to
// silence for the takeover delay, in which the other is heard of.
func (r *Refresher) regressed(rec Record, version Version, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	lost := errors.Is(err, ErrNone) || errors.Is(err, ErrDamaged) || err == nil && rec.Generation < r.held.Generation
	if !lost || !r.known || r.held.Dead != nil {
		return false
	}
	if !r.pending {
		r.log().Warn("state has lost the record that is held: storing it again", zap.Uint64("generation", r.held.Generation), zap.Error(err))
		r.held.NotBefore = latest(r.held.NotBefore, time.Now().Add(r.takeover()))
	}
	r.pending, r.replace = true, version
	return true
}

// plant returns the record that begins a line with the operator's seed, and
// why; an empty why when the seed is not new to rec.
func (r *Refresher) plant(rec Record, none bool) (Record, string) {
	var seed secret.String
	if r.Seed != nil {
		seed = r.Seed()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	hash := seed.Hash()
	if hash == "" || hash == r.planted {
		return Record{}, ""
	}
	if hash == rec.Seed || slices.Contains(rec.Spent, hash) {
		r.planted = hash
		return Record{}, ""
	}
	next := Record{Grant: Grant{RefreshToken: seed}, Seed: hash, Spent: rec.Spent, NotBefore: rec.NotBefore}
	if none {
		return next, "state is empty: beginning with the seed"
	}
	next.Generation = rec.Generation + 1
	if rec.Dead == nil { // should the seed be no good, its line goes on
		next.Grant.Fallback = rec.Grant.RefreshToken
	}
	return next, "seed is new: beginning a new line with it"
}

// buried reports whether what is held is dead while rec, though older by its
// count, lives on another refresh token: then there is nothing to defend.
func (r *Refresher) buried(rec Record) bool {
	return r.held.Dead != nil && rec.Dead == nil && !rec.Grant.RefreshToken.IsZero() &&
		!rec.Grant.RefreshToken.Equal(r.held.Grant.RefreshToken)
}

// adopt takes over a stored record that is newer than what is held, publishes
// it, and returns the view that serves.
func (r *Refresher) adopt(rec Record) *view {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known && rec.Grant.Same(r.held.Grant) && rec.Generation == r.held.Generation {
		rec = r.dated(rec)
		r.held, r.pending, r.unsaved = rec, false, false
		if rec.Dead != nil {
			r.mourn(rec.Dead.Reason)
		}
		if v := r.current.Load(); v != nil && v.token.Generation == rec.Generation {
			return v
		}
		return r.publish()
	}
	if r.known && rec.Generation < r.held.Generation && !r.buried(rec) || rec.Grant.RefreshToken.IsZero() {
		return r.current.Load()
	}
	r.log().Info("adopted record", zap.Uint64("generation", rec.Generation))
	rec = r.dated(rec)
	r.known, r.held, r.pending, r.unsaved = true, rec, false, false
	r.failure = nil
	if rec.Dead != nil {
		r.mourn(rec.Dead.Reason)
	}
	if rec.Generation < r.refused { // a dead line gave way to an older count
		r.refused, r.rejects = 0, refusals{}
	}
	return r.publish()
}

// look adopts what another process has stored, and stores what could not be
// stored before.
func (r *Refresher) look() {
	if r.isPending() && r.obstacle() != nil || !r.turn.try() {
		return // too soon to try again; or a refresh is under way, and looks itself
	}
	defer r.turn.give()
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
		r.log().Error("state is unusable", zap.Error(err))
	}
	if err == nil && r.state != nil {
		r.log().Info("state is usable again")
	}
	r.state = err
}
