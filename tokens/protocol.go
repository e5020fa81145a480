package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"ticketproxy/secret"
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
		rec = r.settle(rec)
		if patient, urgent, why := r.silence(rec); why != nil {
			return r.hold(why, patient, urgent)
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

// A rivalry is what is known of who holds a record's intent.
type rivalry int

const (
	nobody  rivalry = iota // nobody, or this process, which is not spending now
	present                // another process, which may be spending
	ended                  // another process, which has ended
	silent                 // another process, of which nothing was heard for the takeover delay
)

// rival judges who holds an intent.
func (r *Refresher) rival(intent *Intent) rivalry {
	switch {
	case intent == nil || intent.Holder == r.Holder:
		return nobody
	case r.outlasted(intent):
		return silent
	}
	if p, ok := r.Store.(Presence); ok && p.Gone(intent.Holder) {
		return ended
	}
	return present
}

// settle turns an intent whose holder is not spending any more into a lost
// attempt.
func (r *Refresher) settle(rec Record) Record {
	intent := rec.Intent
	if intent == nil {
		return rec
	}
	r.log().Warn("a refresh was begun and did not end: taking over", zap.Uint64("generation", rec.Generation), zap.Int("try", intent.Try))
	rec.Intent, rec.Lost, rec.LostAt = nil, max(intent.Try, rec.Lost), intent.Start
	return rec
}

// outlasted reports whether a foreign intent was seen unchanged for the
// takeover delay.
func (r *Refresher) outlasted(intent *Intent) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.seen.id != intent.ID {
		r.seen = sighting{id: intent.ID, since: now}
	}
	return now.Sub(r.seen.since) >= r.takeover()
}

// silence returns why the issuer may not be asked yet, and for how long: it
// asked for that itself, or an attempt was lost a short time ago. The urgent
// wait binds when no live access token is held. A nil error is leave to ask.
//
// After a lost attempt the refresh token may be spent, and an issuer with
// reuse detection answers its second use by revoking the access token too.
// While that one serves, and no grace window makes haste worthwhile, each
// attempt waits for half of what is left of it.
func (r *Refresher) silence(rec Record) (patient, urgent time.Duration, why error) {
	now := time.Now()
	if wait := rec.NotBefore.Sub(now); wait > 0 && wait <= maxSilence { // more is another clock's error
		return wait, wait, errThrottled
	}
	since := now.Sub(rec.LostAt)
	if rec.Lost == 0 || since < 0 {
		return 0, 0, nil
	}
	urgent = backoff(rec.Lost, minBackoff, maxBackoff)
	patient = urgent
	if r.Rotation != RotationNone && !r.Grace {
		patient = max(patient, rec.Grant.Expiry.Sub(rec.LostAt)/2)
	}
	live := r.current.Load().usable(now) && !r.isRefused(rec.Generation)
	if since >= urgent && !live || since >= patient {
		return 0, 0, nil
	}
	return patient - since, max(urgent-since, 0), errLost
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
		return rec, "", fmt.Errorf("announcing refresh: %w", err)
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
	ctx, cancel := context.WithTimeout(context.Background(), r.takeover())
	defer cancel()
	grant, err := r.Issuer.Refresh(ctx, rec.Grant.RefreshToken)
	if err != nil {
		return r.misspent(rec, version, err, time.Since(began))
	}
	r.refreshed("ok", time.Since(began))
	r.mu.Lock()
	r.held, r.known, r.pending, r.replace = r.succeed(rec, grant), true, true, version
	r.failure = nil
	r.mu.Unlock()
	if err := r.saveHeld(); err != nil {
		return false, r.fail(err)
	}
	return false, nil
}

// succeed returns the record that follows rec with the new grant.
func (r *Refresher) succeed(rec Record, grant Grant) Record {
	next := Record{Generation: rec.Generation + 1, Grant: grant, Seed: rec.Seed, Spent: rec.Spent}
	old := rec.Grant
	if grant.RefreshToken.IsZero() || grant.RefreshToken.Equal(old.RefreshToken) {
		next.Grant.RefreshToken = old.RefreshToken
		if grant.RefreshExpiry.IsZero() {
			next.Grant.RefreshExpiry = old.RefreshExpiry
		}
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
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrUnknown) {
			r.notSaved()
			return fmt.Errorf("storing grant: %w", err)
		}
		stored, now, loading := r.Store.Load(ctx)
		switch {
		case errors.Is(loading, ErrNone):
			version = ""
			continue
		case loading != nil:
			r.notSaved()
			return fmt.Errorf("storing grant: %w", errors.Join(err, loading))
		case stored.Grant.Same(rec.Grant) && stored.Generation == rec.Generation:
			r.stored(stored)
			return nil
		case stored.Generation >= rec.Generation:
			r.log().Warn("another process stored a newer grant: dropping the one obtained", zap.Uint64("generation", stored.Generation))
			r.supersede(stored)
			return nil
		}
		version = now
		r.mu.Lock()
		r.replace = now
		r.mu.Unlock()
	}
	r.notSaved()
	return fmt.Errorf("storing grant: %w", errUnsettled)
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
	r.adopt(rec)
	r.log().Info("token refreshed", zap.Uint64("generation", rec.Generation), zap.Time("expiry", rec.Grant.Expiry))
}

// supersede gives up an unsaved grant for the one that is stored.
func (r *Refresher) supersede(stored Record) {
	r.mu.Lock()
	r.known, r.pending, r.unsaved = false, false, false
	r.mu.Unlock()
	r.adopt(stored)
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

func (r *Refresher) holds() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known
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
