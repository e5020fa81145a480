package tokens

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// Run reads what refreshers store until ctx is done. Drain ends what it leaves.
func (r *Reader) Run(ctx context.Context) {
	if n, ok := r.config.Store.(Notifier); ok {
		n.Notify(r.news.tell)
	}
	r.mu.Lock()
	r.startLocked(time.Now())
	r.mu.Unlock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		told := false
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-r.asked:
		case <-r.news.told():
			told = true
		}
		if told || r.untilNext() <= 0 {
			r.read(ctx)
		}
		r.noteExpiry()
		timer.Reset(min(max(r.untilNext(), 0), readerPoll))
	}
}

// untilNext returns how long the store is not read, if it tells of nothing.
func (r *Reader) untilNext() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	return r.nextLocked(now).Sub(now)
}

// nextLocked returns when the store is read next, if it tells of nothing.
func (r *Reader) nextLocked(now time.Time) time.Time {
	v := r.current.Load()
	usable := v.usable(now)
	switch {
	case r.readAt.IsZero():
		return now
	case usable && r.err == nil && r.refusal.generation != v.token.Generation:
		return r.nextAheadLocked(v, now)
	case r.tries == 0:
		return now
	}
	most := maxIdleWait
	if !usable && now.Sub(r.wanted) < demandWindow && !r.wanted.IsZero() {
		most = maxReadWait
	}
	return r.readAt.Add(jitter(backoff(r.tries, minReadWait, most), r.random))
}

// nextAheadLocked returns when the store is read next while the token serves: when
// refreshers should have replaced it, and then each time when half of what was left of it
// has passed.
func (r *Reader) nextAheadLocked(v *snapshot, now time.Time) time.Time {
	switch {
	case v.refreshAt.IsZero(): // it does not expire: only news and a 401 tell
		return now.Add(maxIdleWait)
	case !v.due(now):
		return v.refreshAt
	case r.readAt.Round(0).Before(v.refreshAt.Round(0)):
		return now
	}
	return r.readAt.Add(max(v.expiry.Sub(r.readAt)/2, minReadWait))
}

// read reads the store, and wakes the callers that wait.
func (r *Reader) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	rec, err := r.config.Store.LoadAccess(ctx)
	random := r.config.Rand()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.readAt, r.random = now, random
	switch {
	case errors.Is(err, ErrNone) && r.began: // it was removed, and refreshers write it again
		err = errNoNewer
	case errors.Is(err, ErrNone):
		err = errNoneYet
	case err != nil:
		err = &StateError{Doing: "loading access token", Err: err}
	default:
		r.adoptLocked(rec, now)
	}
	r.noteErrorLocked(err, now)
	if v := r.current.Load(); err == nil && v.usable(now) && v.token.Generation != r.refusal.generation {
		r.tries = 0
	} else {
		r.tries++
	}
	close(r.change)
	r.change = make(chan struct{})
}

// noteErrorLocked keeps why the last read gave nothing, and logs a change.
func (r *Reader) noteErrorLocked(err error, now time.Time) {
	switch {
	case err != nil && (r.err == nil || err.Error() != r.err.Error()):
		r.config.Log.Warn("no access token can be read", zap.Error(err), hintOf(err))
	case err == nil && r.err != nil:
		r.config.Log.Info("access tokens can be read again")
	}
	r.err, r.errAt = err, now
}

// noteExpiry logs that the access token has expired and nothing serves, and later that one
// serves again.
func (r *Reader) noteExpiry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	usable := r.current.Load().usable(now)
	switch {
	case !usable && r.began && !r.expired && r.held.Dead == nil:
		r.config.Log.Warn("access token has expired: apps get none until a refresher stores a newer one",
			zap.Uint64("generation", r.held.Generation), zap.Time("expiry", r.held.Grant.Expiry),
			zap.NamedError("reason", r.reasonLocked(now)))
	case usable && r.expired:
		r.config.Log.Info("an access token serves again", zap.Uint64("generation", r.held.Generation))
	default:
		return
	}
	r.expired = !usable
}

// servesLocked reports whether a token is held that is believed valid, and no newer one is
// waited for because the API refused it.
func (r *Reader) servesLocked(now time.Time) bool {
	v := r.current.Load()
	return v.usable(now) && (v.token.Generation != r.refusal.generation || !now.Before(r.refusal.waitUntil))
}

// adoptLocked publishes a record that is newer than the one that is held. One of an older
// generation, as after the state was made anew, is taken when the token held has expired.
func (r *Reader) adoptLocked(rec Record, now time.Time) {
	v := r.current.Load()
	if rec.Generation < r.held.Generation && v.usable(now) {
		return
	}
	same := r.began && rec.Generation == r.held.Generation && rec.Grant.AccessToken.Equal(r.held.Grant.AccessToken)
	switch {
	case same: // whose times have monotonic readings
		rec.Grant = r.held.Grant
	case rec.Grant.fromFuture(rec.Grant.Obtained, now):
		age := assumedAge
		if r.began && rec.Generation > r.held.Generation { // a refresher has just obtained it
			age = 0
		}
		r.config.Log.Warn("access token is dated in the future: this clock, or the refresher's, is wrong",
			zap.Uint64("generation", rec.Generation), zap.Time("obtained", rec.Grant.Obtained))
		rec.Grant = rec.Grant.redated(now, age)
	}
	if rec.Dead != nil && r.held.Dead == nil {
		r.config.Log.Error("account needs a person", zap.String("reason", rec.Dead.Reason),
			zap.String("hint", r.config.DeadHint))
	}
	r.held = rec
	if same {
		return
	}
	r.config.Log.Info("adopted access token", zap.Uint64("generation", rec.Generation))
	r.publishLocked()
}

// publishLocked hands out the held access token.
func (r *Reader) publishLocked() {
	v := newSnapshot(r.held, 0)
	if v != nil && !v.expiry.IsZero() {
		// Refreshers replace it after two thirds of its lifetime, ±10 %.
		life := float64(max(r.held.Grant.Lifetime(), 0))
		v.refreshAt = r.held.Grant.Obtained.Add(time.Duration(life * (0.75 + 0.1*r.random)))
	}
	r.current.Store(v)
	r.began = r.began || v != nil
}

// Status returns a snapshot. Safe for concurrent use.
func (r *Reader) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	s := Status{
		Account:    r.config.Account,
		Role:       RoleReader,
		Usable:     r.servesLocked(now),
		Began:      r.began,
		Generation: r.held.Generation,
		Expiry:     r.held.Grant.Expiry.Round(0),
	}
	switch {
	case r.held.Dead != nil:
		s.Error, s.ErrorAt = r.held.Dead.Reason, r.held.Dead.At.Round(0)
	case r.err != nil:
		s.Cause, s.Error, s.ErrorAt = r.err, r.err.Error(), r.errAt.Round(0)
	case !s.Usable && r.began:
		s.Cause = r.reasonLocked(now)
		s.Error, s.ErrorAt = s.Cause.Error(), now.Round(0)
	}
	switch {
	case r.held.Dead != nil:
		s.State = Dead
	case s.Usable && s.Error != "":
		s.State = Degraded
	case s.Usable:
		s.State = Ready
	case s.Error != "":
		s.State = Unavailable
	default:
		s.State = Starting
	}
	return s
}
