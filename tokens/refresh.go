package tokens

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// The refresh protocol has one record and one compare-and-swap:
//
//	load ─► claim (swap in an intent) ─► spend ─► save (swap in the grant) ─► publish
//
// There is no lock beside the record. The intent in it is the lock, and it
// survives a crash. Only a claim that was won is followed by a spend. Only a
// stored grant is published while an older one serves.

// storeDeadline bounds one use of the store.
const storeDeadline = 10 * time.Second

// storeContext returns a context for one use of the store. It is not
// cancelled when a caller gives up.
func storeContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), storeDeadline)
}

// advance refreshes until a usable token newer than past is published, or returns
// why it cannot. The caller holds r.advancing.
func (r *Refresher) advance(past *snapshot) error {
	defer r.setAwaiting(false)
	if err := r.saveHeld(); err != nil {
		return r.fail(err)
	}
	for {
		news := r.news.next()
		rec, version, err := r.load()
		if err != nil {
			return r.fail(err)
		}
		if v := r.adopt(rec); v != past && v.usable(time.Now()) && !r.isRefused(v.token.Generation) {
			return nil
		}
		holder := r.holderOf(rec.Intent)
		if holder == holderEnded { // the store may have finished the holder's last write
			_, now, err := r.load()
			if err != nil {
				return r.fail(err)
			}
			if now != version {
				continue
			}
		}
		rec, f := r.factsOf(rec, holder)
		d := decide(rec, f)
		r.setAwaiting(d.step == stepWaitForHolder)
		if rec.Intent != nil && (d.step == stepRefresh || d.step == stepCoolDown) {
			r.config.Log.Warn("a refresh was begun and did not end: taking over",
				zap.Uint64("generation", rec.Generation), zap.Int("try", rec.Intent.Try))
		}
		switch d.step {
		case stepDead:
			return r.markDead(d.reason)
		case stepCoolDown:
			return r.coolDown(d.err, d.waits)
		case stepWaitForHolder:
			if !r.awaitHolder(rec.Intent.Holder, news) {
				return r.fail(errClosing)
			}
			continue
		}
		claimed, err := r.claim(d.record, version)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return r.fail(err)
		}
		if again, err := r.spend(claimed.Record, claimed.version); !again {
			return err
		}
	}
}

// factsOf returns what is known besides the record, and the record with the times
// that this process plans by.
func (r *Refresher) factsOf(rec Record, holder holderState) (Record, facts) {
	random := r.config.Rand()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	f := facts{
		now:      now,
		need:     r.needLocked(now),
		rotation: r.config.Rotation,
		grace:    r.config.Grace,
		holder:   holder,
		random:   random,
	}
	if r.refusals.row > 0 && r.refusals.generation == rec.Generation {
		f.refusedAt = r.refusals.first
	}
	return r.datedLocked(rec), f
}

// holderOf returns what is known of the process that holds an intent.
func (r *Refresher) holderOf(intent *Intent) holderState {
	switch {
	case intent == nil || intent.Holder == r.config.Holder:
		return holderNone
	case r.unchangedForTakeover(intent):
		return holderSilent
	}
	if p, ok := r.config.Store.(Presence); ok && p.Gone(intent.Holder) {
		return holderEnded
	}
	return holderBusy
}

// unchangedForTakeover reports whether another process's intent was seen
// unchanged for the takeover delay.
func (r *Refresher) unchangedForTakeover(intent *Intent) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.seen.id != intent.ID {
		r.seen = sighting{id: intent.ID, holder: intent.Holder, since: now}
	}
	return now.Sub(r.seen.since) >= r.config.Takeover
}

// A sighting is another process's intent, and since when it was seen unchanged by
// this process's monotonic clock.
type sighting struct {
	id     string
	holder string
	since  time.Time
}

// claim swaps in an intent of this process. It is won only on a nil error. With
// ErrConflict the record is another one now.
func (r *Refresher) claim(rec Record, version Version) (stored, error) {
	r.mu.Lock()
	r.intents++
	id := fmt.Sprintf("%s.%d", r.config.Holder, r.intents)
	r.mu.Unlock()
	rec.Intent = &Intent{ID: id, Holder: r.config.Holder, Start: time.Now(), Try: rec.Lost + 1}
	ctx, cancel := storeContext()
	defer cancel()
	claimed, err := commit(ctx, r.config.Store, &stored{version: version}, func(s stored) (Record, error) {
		return settleClaim(s, rec)
	})
	if err != nil {
		if !errors.Is(err, ErrConflict) {
			r.config.Observer.WriteFailed()
		}
		return stored{}, &StateError{Doing: "announcing refresh", Write: true, Err: err}
	}
	claimed.Record = rec // with the times that this process plans by
	return claimed, nil
}

// spend redeems the refresh token of a record whose claim was won. It is the only
// function that does. If again is true, the caller starts the protocol again.
func (r *Refresher) spend(rec Record, version Version) (again bool, _ error) {
	began := time.Now()
	if isStale(rec.Intent.Start, began, r.config.Takeover) {
		return true, nil
	}
	retries := r.retriesSoFar()
	// The request is not cancelled when a caller gives up.
	grant, failure := r.config.Issuer.Refresh(context.Background(), rec.Grant.RefreshToken)
	r.config.Observer.Refreshed(resultOf(failure), time.Since(began))
	_, f := r.factsOf(rec, holderNone)
	next, result := after(rec, grant, failure, f)
	switch result {
	case outcomeFailed:
		r.recordFailure(version, next)
		w, _ := cooldown(next, f)
		err := r.failFor(failure, w)
		r.retryIfAsked(retries)
		return false, err
	case outcomeFellBack:
		r.config.Log.Warn("refresh token is invalid: falling back to the one before",
			zap.Uint64("generation", rec.Generation))
		r.mu.Lock()
		r.seedRefused = isSeed(rec)
		r.mu.Unlock()
		if err := r.recordFailure(version, next); err != nil && !errors.Is(err, ErrConflict) {
			return false, r.fail(err)
		}
		return true, nil
	case outcomeDied:
		return r.died(version, next)
	}
	r.hold(rec, next, version, failure)
	if err := r.saveHeld(); err != nil {
		return false, r.fail(err)
	}
	if failure != nil {
		return false, r.fail(failure)
	}
	return false, nil
}

// died records that the issuer does not know the refresh token. Another process
// may have rotated it: then the record has changed, the swap does not succeed,
// and what is newer is adopted before the account is given up.
func (r *Refresher) died(version Version, next Record) (again bool, _ error) {
	if err := r.recordFailure(version, next); errors.Is(err, ErrConflict) {
		return true, nil
	} else if err != nil {
		return false, r.fail(&StateError{Doing: next.Dead.Reason + "; that cannot be recorded", Write: true, Err: err})
	}
	r.adopt(next)
	return false, r.markDead(next.Dead.Reason)
}

// recordFailure swaps in what every replica must know of a failed request. When
// that fails the intent stays, and the next refresh, here or elsewhere, takes it
// over.
func (r *Refresher) recordFailure(version Version, next Record) error {
	ctx, cancel := storeContext()
	defer cancel()
	version, err := r.config.Store.Swap(ctx, version, next)
	switch {
	case err == nil:
		r.note(stored{Record: next, version: version})
	case !errors.Is(err, ErrConflict):
		r.config.Observer.WriteFailed()
		r.config.Log.Warn("failed refresh could not be recorded", zap.Error(err))
	}
	return err
}

// awaitHolder waits until the store is to be looked at again for what another process does,
// and reports false when this process ends. A store that tells of changes is looked at
// seldom besides, in case that it cannot tell now. That the holder has ended is no change of
// the record, and is asked for apart.
func (r *Refresher) awaitHolder(holder string, news <-chan struct{}) bool {
	d := r.config.Takeover / 120
	if _, ok := r.config.Store.(Notifier); ok {
		d = r.config.Takeover / 12
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	ask := time.NewTicker(r.config.Takeover / 160)
	defer ask.Stop()
	presence, tells := r.config.Store.(Presence)
	for {
		select {
		case <-timer.C:
			return true
		case <-news:
			return true
		case <-ask.C:
			if tells && presence.Gone(holder) {
				return true
			}
		case <-r.inflight.over():
			return false
		}
	}
}

func (r *Refresher) setAwaiting(awaiting bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.awaiting = awaiting
}

func (r *Refresher) isRefused(generation uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return generation <= r.refused
}

func (r *Refresher) isPending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.saving >= savePending
}
