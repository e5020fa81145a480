package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"ticketproxy/secret"
)

// load returns the stored record, after correcting a store that went back and
// planting a new seed. With nothing stored and no seed the record is empty.
func (r *Refresher) load() (Record, Version, error) {
	ctx, cancel := context.WithTimeout(context.Background(), storeDeadline)
	defer cancel()
	for range maxRounds {
		rec, version, err := r.Store.Load(ctx)
		if err != nil && !errors.Is(err, ErrNone) {
			return Record{}, "", fmt.Errorf("loading record: %w", err)
		}
		next, why := r.correct(rec, err != nil)
		if why == "" {
			return rec, version, nil
		}
		version, err = r.Store.Swap(ctx, version, next)
		if err == nil {
			level := zap.InfoLevel
			if r.holds() {
				level = zap.WarnLevel
			}
			r.log().Log(level, why, zap.Uint64("generation", next.Generation))
			r.mu.Lock()
			r.planted = next.Seed
			r.mu.Unlock()
			return next, version, nil
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrUnknown) {
			r.writeFailed()
			return Record{}, "", fmt.Errorf("correcting record: %w", err)
		}
	}
	return Record{}, "", errUnsettled
}

// correct returns what is to be stored instead of rec, and why; an empty why
// leaves it as it is.
func (r *Refresher) correct(rec Record, none bool) (Record, string) {
	var seed secret.String
	if r.Seed != nil {
		seed = r.Seed()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known && (none || rec.Generation < r.held.Generation) && !r.buried(rec) {
		next := r.held
		next.Intent = nil
		return next, "state went back to an older record: overwriting it with the one held"
	}
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
		rec.Grant = r.held.Grant // its times have monotonic readings
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
	r.known, r.held, r.pending, r.unsaved = true, rec, false, false
	r.failure = nil
	if rec.Dead != nil {
		r.mourn(rec.Dead.Reason)
	}
	if rec.Generation < r.refused { // a dead line gave way to an older count
		r.refused = 0
	}
	return r.publish()
}

// look adopts what another process has stored, and stores what could not be
// stored before.
func (r *Refresher) look() {
	if r.isPending() && r.obstacle(true) != nil || !r.turn.try() {
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

func (r *Refresher) holds() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known
}
