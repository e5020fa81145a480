package tokens

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Run keeps the grant fresh until ctx is done: it refreshes ahead of expiry,
// adopts what other processes have stored, and stores what could not be stored
// before. Drain ends what it leaves.
func (r *Refresher) Run(ctx context.Context) {
	if n, ok := r.config.Store.(Notifier); ok {
		n.Notify(r.news.tell)
	}
	if n, ok := r.config.Store.(RefusalNotifier); ok {
		n.NotifyRefused(r.noteFlag)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		told := false
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-r.news.told():
			told = true
		case <-r.flag.told():
		}
		r.obeyFlag()
		now := time.Now()
		_, tells := r.config.Store.(Notifier)
		// A refresh looks at the store itself, and where that is dear, it is not done twice.
		if (told || now.Sub(r.polledAt) >= r.pollInterval()) && !(tells && r.isToReplace(r.current.Load(), now)) {
			r.polledAt = now
			r.pollStore()
		}
		// It is loaded once: another caller's refresh may publish a new one in between.
		if past := r.current.Load(); r.isToReplace(past, now) {
			select {
			case <-ctx.Done():
				return
			case <-r.join(past):
			}
		}
		timer.Reset(r.untilNext())
	}
}

// isToReplace reports whether Run is to begin a refresh now that gets past v.
func (r *Refresher) isToReplace(v *snapshot, now time.Time) bool {
	refused := v != nil && r.isRefused(v.token.Generation)
	return (v.due(now) || refused) && r.obstacle() == nil
}

// pollInterval returns how often the store is looked at. A store that tells of changes is
// looked at where it cannot tell: a seed is new, a record is to be stored, or the last look
// failed.
func (r *Refresher) pollInterval() time.Duration {
	if _, ok := r.config.Store.(Notifier); !ok {
		return r.config.Poll
	}
	seed := r.config.Seed().Hash()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.polledAt.IsZero(), r.saving >= savePending:
		return r.config.Poll
	case r.state != nil:
		return 10 * r.config.Poll
	case seed != "" && seed != r.seedHash:
		return r.config.Poll
	}
	return math.MaxInt64
}

// untilNext returns how long Run has nothing to do.
func (r *Refresher) untilNext() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, most, v := time.Now(), r.config.Poll, r.current.Load()
	n := r.needLocked(now)
	if n != needNone {
		most = min(most, time.Second) // apps may begin to ask
	} else if !v.expiry.IsZero() {
		most = min(most, v.expiry.Sub(now)) // then the wait is another
	}
	if r.failure != nil {
		if wait := r.failure.until[n].Sub(now); wait > 0 {
			most = min(most, wait)
		}
	}
	return v.untilDue(now, most)
}

// Drain begins no further refresh, waits for one that is under way, and goes
// on storing a grant that the store does not have, until ctx is done. Its error
// says that a refresh token may be lost with the process.
func (r *Refresher) Drain(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return errors.New("draining " + r.config.Account + ": a token request was under way and its answer is lost")
	case <-r.inflight.end():
	}
	for tries := 1; ; tries++ {
		err := r.keep(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("draining %s: the refresh token that is held could not be stored and is lost: %w",
				r.config.Account, err)
		case <-time.After(backoff(tries, minBackoff, maxBackoff)):
		}
	}
}

// keep stores what is held, if the store does not have it. A store that cannot be
// read is not taken to have lost the record.
func (r *Refresher) keep(ctx context.Context) error {
	if r.advancing.lock(ctx.Done()) {
		defer r.advancing.unlock()
		if err := r.saveHeld(); err != nil {
			return err
		}
		if r.storeLostRecord(r.config.Store.Load(ctx)) {
			return r.saveHeld()
		}
	}
	if r.isPending() {
		return errUnsettled
	}
	return nil
}
