package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
)

// The refresh protocol: one record, one compare-and-swap.
//
//	load ─► claim (swap in an intent) ─► spend ─► save (swap in the grant) ─► publish
//
// There is no lock beside the record: the intent in it is the lock, and it
// survives a crash. Only a won intent is followed by a spend, and only a
// stored grant is published while an older one serves.

// storeDeadline bounds one call to the store.
const storeDeadline = 10 * time.Second

// maxRounds bounds how often one call answers a store's conflict or unknown
// outcome at once; after that it is the backoff's turn.
const maxRounds = 8

// advance goes through the protocol until the view past is got past, or it is
// known why that cannot be now. r.turn is held.
func (r *Refresher) advance(past *view) error {
	if err := r.saveHeld(); err != nil {
		return r.fail(err)
	}
	for {
		rec, version, err := r.load()
		if err != nil {
			return r.fail(err)
		}
		if v := r.adopt(rec); v != past && v.usable(time.Now()) {
			return nil
		}
		if rec.Dead != nil {
			return r.die(rec.Dead.Reason)
		}
		if rec.Grant.RefreshToken.IsZero() {
			return r.die("it has no refresh token yet")
		}
		switch r.rival(rec.Intent) {
		case present:
			if !r.pause(r.takeover() / 80) {
				return r.fail(errClosing)
			}
			continue
		case ended: // and the store may have finished its last write
			_, now, err := r.load()
			if err != nil {
				return r.fail(err)
			}
			if now != version {
				continue
			}
		}
		r.mu.Lock()
		rec = r.dated(rec)
		r.mu.Unlock()
		rec = r.settle(rec)
		if w, why := r.silence(rec); why != nil {
			return r.hold(why, w)
		}
		rec, version, err = r.claim(rec, version)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return r.fail(err)
		}
		if again, err := r.spend(rec, version); !again {
			return err
		}
	}
}

// silence returns how long the record asks to leave the issuer alone, and why
// it may not be asked now. A nil error is leave to ask.
//
// After an attempt whose outcome is not known the refresh token may be spent,
// and an issuer with reuse detection answers its second use by revoking the
// access token too. While that one serves, and no grace window makes haste
// worthwhile, each attempt waits for half of what is left of it.
//
// A time that lies too far ahead is another clock's error, and binds nobody.
func (r *Refresher) silence(rec Record) (w waits, why error) {
	now := time.Now()
	if since := now.Sub(rec.LostAt); !rec.LostAt.IsZero() && since >= 0 {
		why = errLost
		w.atLeast(backoff(rec.Lost+rec.Failures, minBackoff, maxBackoff)-since, ahead, idle)
		if !rec.RetryAt.After(rec.LostAt) { // the last attempt was lost, and none has failed otherwise since
			w.atLeast(backoff(rec.Lost, minBackoff, maxBackoff)-since, asked)
		}
		if r.Rotation != RotationNone && !r.Grace {
			w.atLeast(rec.Grant.Expiry.Sub(rec.LostAt)/2-since, ahead)
		}
	}
	if wait := rec.RetryAt.Sub(now); wait > 0 && wait <= maxPace {
		why = errOutage
		w.atLeast(wait, ahead, idle, asked)
	}
	if wait := rec.NotBefore.Sub(now); wait > 0 && wait <= maxSilence {
		why = errThrottled
		w.atLeast(wait, ahead, idle, asked)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if w[r.need(now)] <= 0 {
		return w, nil
	}
	return w, why
}

// claim swaps in an intent of ours. It is won only on a nil error.
func (r *Refresher) claim(rec Record, version Version) (Record, Version, error) {
	r.mu.Lock()
	r.intents++
	id := fmt.Sprintf("%s.%d", r.Holder, r.intents)
	r.mu.Unlock()
	rec.Intent = &Intent{ID: id, Holder: r.Holder, Start: time.Now(), Try: rec.Lost + 1}
	ctx, cancel := context.WithTimeout(context.Background(), storeDeadline)
	defer cancel()
	version, err := r.Store.Swap(ctx, version, rec)
	if errors.Is(err, ErrUnknown) {
		stored, now, loading := r.Store.Load(ctx)
		if loading == nil && stored.Intent != nil && stored.Intent.ID == id {
			return rec, now, nil
		}
	}
	if err != nil {
		if !errors.Is(err, ErrConflict) {
			r.writeFailed()
		}
		return rec, "", &StateError{Doing: "announcing refresh", Write: true, Err: err}
	}
	return rec, version, nil
}

// spend redeems the refresh token of a record whose intent was won. It is the
// only function that does. With again the protocol starts anew.
func (r *Refresher) spend(rec Record, version Version) (again bool, _ error) {
	began := time.Now()
	if asleep := began.Round(0).Sub(rec.Intent.Start.Round(0)); asleep > r.takeover()/2 || began.Sub(rec.Intent.Start) > r.takeover()/2 {
		return true, nil // paused since the claim: it may have been taken over
	}
	grant, wrong := r.Issuer.Refresh(context.Background(), rec.Grant.RefreshToken) // no caller who leaves cancels it
	if wrong != nil && (grant.RefreshToken.IsZero() || grant.RefreshToken.Equal(rec.Grant.RefreshToken)) {
		return r.misspent(rec, version, wrong, time.Since(began))
	}
	r.refreshed(resultOf(wrong), time.Since(began))
	next := r.succeed(rec, grant)
	r.mu.Lock()
	r.held, r.known, r.pending, r.replace = next, true, true, version
	if wrong == nil {
		r.failure = nil
	} else if rec.Generation == r.refused { // its access token goes on under another number
		r.refused = next.Generation
	}
	r.mu.Unlock()
	if err := r.saveHeld(); err != nil {
		return false, r.fail(err)
	}
	if wrong != nil {
		return false, r.fail(wrong)
	}
	return false, nil
}

// succeed returns the record that follows rec with the new grant.
func (r *Refresher) succeed(rec Record, grant Grant) Record {
	next := Record{Generation: rec.Generation + 1, Grant: grant, Seed: rec.Seed, Spent: rec.Spent, RefusalPause: r.refusalPause(rec)}
	old := rec.Grant
	if grant.AccessToken.IsZero() { // only the refresh token is new
		next.Grant.AccessToken, next.Grant.Obtained, next.Grant.Expiry = old.AccessToken, old.Obtained, old.Expiry
	}
	kept := grant.RefreshToken.IsZero() || grant.RefreshToken.Equal(old.RefreshToken)
	if kept && grant.RefreshExpiry.IsZero() {
		next.Grant.RefreshExpiry = old.RefreshExpiry
	}
	if put := next.Grant.RefreshExpiry.Sub(old.RefreshExpiry); put < grant.Obtained.Sub(old.Obtained)/2 { // but for its jitter, the same end
		next.Grant.Renewed = old.renewed()
	}
	if kept {
		next.Grant.RefreshToken = old.RefreshToken
		return next
	}
	if r.Rotation == RotationMaybe {
		next.Grant.Fallback = old.RefreshToken
	}
	if spent := old.RefreshToken.Hash(); spent == rec.Seed {
		next.Spent = append(slices.Clone(rec.Spent), spent)
	}
	return next
}

// saveHeld stores a held grant that is not stored yet, and publishes it. Ours
// replaces anything of an older generation, whoever holds an intent there, for
// it may be the only living token.
func (r *Refresher) saveHeld() error {
	r.mu.Lock()
	rec, version, pending := r.held, r.replace, r.pending
	r.mu.Unlock()
	if !pending {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeDeadline)
	defer cancel()
	for range maxRounds {
		_, err := r.Store.Swap(ctx, version, rec)
		if err == nil {
			r.stored(rec)
			return nil
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrDamaged) {
			r.notSaved()
			return &StateError{Doing: "storing grant", Write: true, Err: err}
		}
		stored, now, loading := r.Store.Load(ctx)
		switch {
		case errors.Is(loading, ErrNone), errors.Is(loading, ErrDamaged):
			r.log().Warn("state has lost the record that was announced: storing anew", zap.Uint64("generation", rec.Generation), zap.Error(loading))
			version = now
			continue
		case loading != nil:
			r.notSaved()
			return &StateError{Doing: "storing grant", Write: true, Err: errors.Join(err, loading)}
		case stored.Grant.Same(rec.Grant) && stored.Generation == rec.Generation:
			r.stored(stored)
			return nil
		case stored.Generation >= rec.Generation:
			r.log().Warn("a newer record is stored: dropping the one held", zap.Uint64("generation", stored.Generation))
			r.supersede(stored)
			return nil
		}
		if stored.Generation+1 != rec.Generation {
			r.log().Warn("state has lost the record that was announced: storing over it", zap.Uint64("stored", stored.Generation), zap.Uint64("generation", rec.Generation))
		}
		version = now
		r.mu.Lock()
		r.replace = now
		r.mu.Unlock()
	}
	r.notSaved()
	return &StateError{Doing: "storing grant", Write: true, Err: errUnsettled}
}

// notSaved notes that the held grant could not be stored.
func (r *Refresher) notSaved() {
	r.writeFailed()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsaved = true
}

// stored publishes the held grant, which is durable now.
func (r *Refresher) stored(rec Record) {
	r.mu.Lock()
	if r.unsaved && r.failure != nil && !r.failure.dead { // it was that it could not be stored
		r.failure = nil
	}
	r.mu.Unlock()
	r.adopt(rec)
	r.log().Info("record stored", zap.Uint64("generation", rec.Generation), zap.Time("expiry", rec.Grant.Expiry))
}

// supersede gives up an unsaved grant for the one that is stored.
func (r *Refresher) supersede(stored Record) {
	r.mu.Lock()
	r.known, r.pending, r.unsaved = false, false, false
	r.mu.Unlock()
	r.adopt(stored)
}

// pause waits for the given time, and reports false when the process ends.
func (r *Refresher) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.life.over():
		return false
	}
}

func (r *Refresher) isRefused(generation uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return generation <= r.refused
}

func (r *Refresher) isPending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending
}

func (r *Refresher) log() *zap.Logger {
	if r.Log == nil {
		return zap.NewNop()
	}
	return r.Log
}
