package tokens

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// A Refresher keeps one account's grant fresh. Token, Renew, Status and Drain are
// safe for concurrent use; Run is called once.
type Refresher struct {
	config Config

	current   atomic.Pointer[snapshot] // what Token hands out
	waiters   singleflight.Group       // of one refresh for each generation
	advancing chanMutex                // held while the refresh protocol runs
	inflight  inflight                 // refreshes under way
	polledAt  time.Time                // when Run last looked at the store; Run's own
	news      news                     // what the store tells of changes
	flag      refusalFlag              // what readers tell of refused tokens

	mu          sync.Mutex // guards all that follows
	began       bool       // an access token was held
	held        Record     // the newest record known
	saving      saveState  // of held
	replacing   Version    // what held replaces in the store, while it is not stored
	known       stored     // what the store had when this process last read or wrote it
	lost        stored     // what it had when it lost held, if that was held; no version otherwise
	failure     *failure   // why the last refresh failed; nil after a success
	wanted      time.Time  // when a caller last found no token
	state       error      // why the store could not be read, when last looked at
	seedHash    string     // of the seed that was last compared with the record
	seedRefused bool       // that seed was refused, and the refresh token before it goes on
	refused     uint64     // the newest generation whose access token is replaced because the API refused it
	refusals    refusals   // what the API refused of the generations that this process used
	seen        sighting   // another process's intent that was seen last
	awaiting    bool       // a refresh waits for that process
	skew        *float64   // seconds that the local clock is ahead of the issuer's; nil when not known
	loggedSkew  float64    // the skew that was logged last; 0 when none was
	retries     int        // how often Retry was called
	intents     int        // how many intents this process has written
}

// A saveState says whether the store has the record that is held.
type saveState int

const (
	saveNothing saveState = iota // no record is held
	saveDone                     // the store has it
	savePending                  // it was obtained, and is not stored yet
	saveFailed                   // storing it failed; it is tried again
)

// An UnavailableError says that there is no usable access token now.
type UnavailableError struct {
	Account    string
	RetryAfter time.Duration // until the issuer is asked again; 0 when not known
	Err        error
}

func (e *UnavailableError) Error() string {
	return "refreshing " + e.Account + ": " + e.Err.Error()
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// A DeadError says that an account needs a person: a login or a new seed.
type DeadError struct {
	Account string
	Reason  string
}

func (e *DeadError) Error() string { return "account " + e.Account + ": " + e.Reason }

// Token returns an access token believed valid. While one is held it takes no
// lock, does no I/O and allocates nothing; else it waits, as long as ctx and
// Patience allow, for the refresh that all waiters share. When that fails, it
// waits for the next one too if that begins within 3 s of the call. The error is
// ctx's, or an *UnavailableError or *DeadError.
func (r *Refresher) Token(ctx context.Context) (Token, error) {
	v, err := r.usable(ctx)
	if err != nil {
		return Token{}, err
	}
	return v.token, nil
}

// usable returns the snapshot whose token Token returns.
func (r *Refresher) usable(ctx context.Context) (*snapshot, error) {
	v := r.current.Load()
	if v.usable(time.Now()) {
		return v, nil
	}
	return r.await(ctx, v)
}

// Renew returns a token of another grant than rejected, which the API answered
// with 401. If rejected is no longer the current token, that costs nothing.
// Otherwise it causes a refresh, one for all callers at the same time. While the
// API refuses fresh tokens there are pauses between such refreshes (see
// Record.RefusalPause); in a pause Renew returns rejected itself. Errors are as
// with Token.
func (r *Refresher) Renew(ctx context.Context, rejected Token) (Token, error) {
	v := r.current.Load()
	if v == nil || v.token.Generation != rejected.Generation {
		return r.Token(ctx)
	}
	if !r.noteRejection(v) {
		return rejected, nil
	}
	v, err := r.await(ctx, v)
	if err != nil {
		return Token{}, err
	}
	return v.token, nil
}

// await returns a snapshot with a usable token other than past's, which has expired or was
// refused; past is nil when none was ever held.
func (r *Refresher) await(ctx context.Context, past *snapshot) (*snapshot, error) {
	if v := r.publishUnsaved(past); r.replaces(v, past) {
		return v, nil
	}
	lastBegin := r.want().Add(maxPause)
	patience := time.NewTimer(r.config.Patience)
	defer patience.Stop()
	for retried := false; ; {
		err := r.obstacle()
		if err == nil {
			err = r.share(ctx, patience.C, past)
		}
		if v := r.publishUnsaved(past); r.replaces(v, past) {
			return v, nil
		}
		if err == nil && !retried && !r.current.Load().usable(time.Now()) && time.Now().Before(lastBegin) {
			retried = true // once: the refresh took longer than the new token lives, and the next one may not
			continue
		}
		if err == nil {
			return nil, &UnavailableError{Account: r.config.Account, Err: errStillborn}
		}
		if err := r.waitOut(ctx, patience.C, err, lastBegin); err != nil {
			return nil, err
		}
	}
}

// want notes that a caller found no token, and returns the time.
func (r *Refresher) want() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted = time.Now()
	return r.wanted
}

// share waits for the refresh that gets past the given snapshot, and returns its
// error.
func (r *Refresher) share(ctx context.Context, patience <-chan time.Time, past *snapshot) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-patience:
		return &UnavailableError{Account: r.config.Account, Err: errSlow}
	case result := <-r.join(past):
		return result.Err
	}
}

// waitOut waits until the next refresh may begin after one that failed with
// err. It returns an error when that is not before lastBegin, or not at all.
func (r *Refresher) waitOut(ctx context.Context, patience <-chan time.Time, err error, lastBegin time.Time) error {
	var failed *UnavailableError
	if !errors.As(err, &failed) || failed.RetryAfter <= 0 || time.Now().Add(failed.RetryAfter).After(lastBegin) {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-patience:
		return err
	case <-r.inflight.over():
		return err
	case <-time.After(failed.RetryAfter):
		return nil
	}
}

// replaces reports whether v has a usable token of another grant than past, which
// may be nil. An issuer may give an access token that it gave before. But when a
// rotation brought no access token, the old one gets a new generation, and is still
// the one that the API refused.
func (r *Refresher) replaces(v, past *snapshot) bool {
	return v.usable(time.Now()) && (past == nil || !v.token.AccessToken.Equal(past.token.AccessToken) ||
		v.token.Generation != past.token.Generation && !r.isRefused(v.token.Generation))
}

// join begins the refresh that gets past the given snapshot, or joins it. It goes
// on when all who wait for it have left.
func (r *Refresher) join(past *snapshot) <-chan singleflight.Result {
	key := "none"
	if past != nil {
		key = strconv.FormatUint(past.token.Generation, 10)
	}
	return r.waiters.DoChan(key, func() (any, error) {
		if !r.inflight.enter() {
			return nil, &UnavailableError{Account: r.config.Account, Err: errClosing}
		}
		defer r.inflight.leave()
		r.advancing.lock(nil)
		defer r.advancing.unlock()
		return nil, r.advance(past)
	})
}

// obstacle returns why the issuer may not be asked now; nil when it may.
func (r *Refresher) obstacle() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	return r.failure.report(r.config.Account, r.needLocked(now), now)
}

// publishLocked hands out the held grant's access token.
func (r *Refresher) publishLocked() *snapshot {
	v := newSnapshot(r.held, r.config.Rand())
	r.current.Store(v)
	r.began = r.began || v != nil
	return v
}
