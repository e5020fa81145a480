package tokens

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// A ReaderConfig says whose access tokens a Reader hands out, and where they are.
type ReaderConfig struct {
	Account  string
	Store    AccessStore
	Patience time.Duration  // how long a caller waits at most; 10 s when 0
	Log      *zap.Logger    // nothing is logged when nil
	DeadHint string         // what revives a dead account; logged when it dies
	Rand     func() float64 // jitter in [0, 1); math/rand/v2 when nil
}

// A Reader hands out the access tokens that refreshers store. It has no refresh token, and
// never talks to an issuer. It learns of new tokens from its store, if that is a Notifier,
// and by reading when its own token is near its end. Token, Renew, Refused, Status and Drain
// are safe for concurrent use; Run is called once. They keep the contracts of Refresher.
//
// It reads once at the start and once for each change that it is told of. Besides, it reads
// after about 80 % of a token's lifetime, and then each time when half of what was left has
// passed, which is at most 12 times for a token of an hour, and not at all where refreshers
// are in time. Without a token that serves, it waits from 1 s, doubling, up to 10 s between
// two reads while apps ask, and up to a minute otherwise.
type Reader struct {
	config ReaderConfig

	current  atomic.Pointer[snapshot] // what Token hands out
	news     news                     // what the store tells of changes
	asked    chan struct{}            // has a value when a caller needs another token
	inflight inflight                 // flags that are being raised

	mu      sync.Mutex    // guards all that follows
	change  chan struct{} // closed by the next read
	held    Record        // the newest record that was read
	began   bool          // an access token was held
	err     error         // why there is no record, or the last read failed; nil after a success
	errAt   time.Time     // when that was
	started time.Time     // when Run began, or the first caller came
	readAt  time.Time     // when the store was read last
	random  float64       // for the wait after that
	tries   int           // reads in a row that failed, or gave no token that serves
	wanted  time.Time     // when a caller last found no token
	expired bool          // it was logged that the token has expired, and none serves since
	refusal refusal       // the last one
}

// A refusal is what a Reader knows of an access token that the API refused.
type refusal struct {
	generation uint64    // of the token; 0 when none was refused
	waitUntil  time.Time // callers wait for a newer token until then
	raising    bool      // the flag is being raised
	raised     bool      // refreshers may see the flag
	tries      int       // attempts to raise it that failed
	retryAt    time.Time // the flag is not raised again before
}

// Waits of a Reader.
const (
	minReadWait = time.Second      // between two reads without news
	maxReadWait = 10 * time.Second // the same, while apps ask in vain
	maxIdleWait = time.Minute      // the same, while a token serves, or nobody asks
	refusalWait = 5 * time.Second  // how long a newer token is waited for after a refusal
	minFlagWait = time.Second      // before a flag that could not be raised is tried again
	maxFlagWait = time.Minute      // the same, after many failures in a row
	readerPoll  = time.Second      // how often Run looks at the clock, which jumps when a machine sleeps
)

// Why a Reader has no token, besides what the store says.
const (
	errNoNewer = fixedError("no refresher has stored a newer access token")
	errNoneYet = fixedError("no refresher has stored an access token yet")
	errRefused = fixedError("the API has refused the access token, and no refresher has stored a newer one yet")
)

// NewReader returns the Reader that c describes. It does nothing by itself.
func NewReader(c ReaderConfig) *Reader {
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return &Reader{
		config: c,
		asked:  make(chan struct{}, 1),
		change: make(chan struct{}),
	}
}

// Token returns an access token believed valid. While one is held it takes no lock, does no
// I/O and allocates nothing. Otherwise it waits until refreshers have stored one, as long as
// ctx and Patience allow, and 3 s at most when there has been none for longer than Patience.
// The error is ctx's, or an *UnavailableError or *DeadError.
func (r *Reader) Token(ctx context.Context) (Token, error) {
	v := r.current.Load()
	if v.usable(time.Now()) {
		return v.token, nil
	}
	if err := r.await(ctx, v, r.patience()); err != nil {
		return Token{}, err
	}
	return r.current.Load().token, nil
}

// Renew returns a token of another grant than rejected, which the API answered with 401. If
// rejected is no longer the current token, that costs nothing. Otherwise it raises the flag
// for the refreshers, once for each generation, and waits for what they store. When nothing
// newer has come within 5 s of the first refusal, Renew returns rejected itself, as the
// Refresher does in a pause. Errors are as with Token.
func (r *Reader) Renew(ctx context.Context, rejected Token) (Token, error) {
	v := r.current.Load()
	if v == nil || v.token.Generation != rejected.Generation {
		return r.Token(ctx)
	}
	wait := r.noteRejection(v.token.Generation)
	err := r.await(ctx, v, wait)
	if err == nil {
		return r.current.Load().token, nil
	}
	if _, ok := errors.AsType[*UnavailableError](err); ok && v.usable(time.Now()) {
		return rejected, nil
	}
	return Token{}, err
}

// Refused does nothing: what the API refuses again is the refreshers' to judge.
func (r *Reader) Refused(Token) {}

// await waits until a usable token other than past's is held; past is nil when none was
// ever held.
func (r *Reader) await(ctx context.Context, past *snapshot, atMost time.Duration) error {
	patience := time.NewTimer(atMost)
	defer patience.Stop()
	for {
		change, err := r.obstacle(past)
		if err == nil {
			return nil
		}
		if _, dead := errors.AsType[*DeadError](err); dead {
			return err
		}
		r.ask()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			return err
		case <-r.inflight.over():
			return &UnavailableError{Account: r.config.Account, Err: errClosing}
		case <-change:
		}
	}
}

// obstacle returns why there is no usable token other than past's; nil when there is one.
// The channel is closed by the next read.
func (r *Reader) obstacle(past *snapshot) (<-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, v := time.Now(), r.current.Load()
	if v.usable(now) && (past == nil || v.token.Generation != past.token.Generation) {
		return nil, nil
	}
	if r.held.Dead != nil {
		return nil, &DeadError{Account: r.config.Account, Reason: r.held.Dead.Reason}
	}
	if !v.usable(now) {
		r.wanted = now
	}
	wait := max(r.nextLocked(now).Sub(now), minReadWait)
	return r.change, &UnavailableError{Account: r.config.Account, RetryAfter: wait, Err: r.reasonLocked(now)}
}

// reasonLocked says why there is no token that serves.
func (r *Reader) reasonLocked(now time.Time) error {
	switch v := r.current.Load(); {
	case r.err != nil:
		return r.err
	case v.usable(now):
		return errRefused
	case r.began:
		return errNoNewer
	}
	return errNoneYet
}

// patience returns how long a caller waits for the first token, or after the last one has
// expired.
func (r *Reader) patience() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.startLocked(now)
	since := r.started
	if v := r.current.Load(); v != nil {
		since = v.expiry
	}
	if now.Sub(since) > r.config.Patience {
		return min(maxPause, r.config.Patience)
	}
	return r.config.Patience
}

func (r *Reader) startLocked(now time.Time) {
	if r.started.IsZero() {
		r.started = now
	}
}

// ask has Run look whether the store is to be read.
func (r *Reader) ask() {
	select {
	case r.asked <- struct{}{}:
	default:
	}
}

// noteRejection notes that the API refused the current token, raises the flag, and returns
// how long to wait for a newer token.
func (r *Reader) noteRejection(generation uint64) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.refusal.generation != generation {
		r.config.Log.Info("the API refuses the access token", zap.Uint64("generation", generation))
		r.refusal = refusal{generation: generation, waitUntil: now.Add(min(refusalWait, r.config.Patience))}
		r.tries = 0 // so that the store is read at once
	}
	f := &r.refusal
	if !f.raised && !f.raising && !now.Before(f.retryAt) && r.inflight.enter() {
		f.raising = true
		go r.raiseFlag(generation)
	}
	return max(f.waitUntil.Sub(now), 0)
}

// raiseFlag tells the refreshers that the API refused a token. It is not cancelled when a
// caller gives up.
func (r *Reader) raiseFlag(generation uint64) {
	defer r.inflight.leave()
	ctx, cancel := storeContext()
	defer cancel()
	err := r.config.Store.Refuse(ctx, generation)
	r.mu.Lock()
	defer r.mu.Unlock()
	f := &r.refusal
	if f.generation != generation {
		return
	}
	f.raising, f.raised = false, err == nil
	if err == nil {
		return
	}
	f.tries++
	f.retryAt = time.Now().Add(backoff(f.tries, minFlagWait, maxFlagWait))
	if f.tries == 1 {
		r.config.Log.Warn("refreshers cannot be told that the API refuses the access token",
			zap.Error(err), hintOf(err))
	}
}

// Drain has no caller wait any longer, and waits for a flag that is being raised. There is
// nothing to store, so its error is always nil.
func (r *Reader) Drain(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-r.inflight.end():
	}
	return nil
}
