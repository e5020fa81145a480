package policy

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"ticketproxy/config/callers"
)

// A Reason says which bound refused a request. It is a label of metrics.
type Reason string

const (
	CallerRate        Reason = "caller_rate"
	AccountRate       Reason = "account_rate"
	AccountConcurrent Reason = "account_concurrent"
	AccountHeld       Reason = "account_held" // the API asked for a pause
)

// Reasons returns all reasons.
func Reasons() []Reason { return []Reason{CallerRate, AccountRate, AccountConcurrent, AccountHeld} }

// A Refusal says why a request may not be sent now.
type Refusal struct {
	Reason Reason
	// Wait is when it may be tried again, at the earliest. It is longer than zero.
	Wait   time.Duration
	Detail string // one sentence, without a full stop
}

// concurrentWait is the wait that is told where nobody knows when a request in flight ends.
const concurrentWait = time.Second

// maxHeld bounds the pause that an API can ask for.
const maxHeld = 24 * time.Hour

// Admit counts a request that a rule allowed: by the rate of its caller, and by the limit of its
// account. It never waits. When the request may be sent, release is called once it is over, and
// may be called again without effect. When it may not, refused says why, and nothing was counted:
// a request that the account's limit refuses costs the caller nothing, and the reverse.
func (p *Policy) Admit(caller, account string) (release func(), refused *Refusal) {
	c, a := p.callers[caller], p.accounts[account]
	var own *bucket
	if c != nil {
		own = c.bucket
	}
	// The caller's lock is always taken before the account's.
	if own != nil {
		own.mu.Lock()
		defer own.mu.Unlock()
	}
	if a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
	}
	// The time is read under the locks, so that it never goes back from call to call: rate.Limiter
	// (v0.15.0) would then add the tokens of the time between once more.
	now := time.Now()
	if own != nil {
		if wait := own.wait(now); wait > 0 {
			refused = &Refusal{CallerRate, wait, "caller " + caller + " may send " + own.rate.String()}
		}
	}
	if a != nil {
		switch r := a.refuses(account, now); {
		case refused == nil:
			refused = r
		case r != nil:
			refused.Wait = max(refused.Wait, r.Wait)
		}
	}
	if refused != nil {
		return noRelease, refused
	}
	if own != nil {
		own.take(now)
	}
	if a == nil {
		return noRelease, nil
	}
	return a.admit(now), nil
}

func noRelease() {}

// Heed holds back all requests to an account until then, because its API asked for it by
// Retry-After. It has an effect only where the account's limit says heed: true. The pause is
// at most a day.
func (p *Policy) Heed(account string, until time.Time) {
	a := p.accounts[account]
	if a == nil || !a.limit.Heed {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if latest := time.Now().Add(maxHeld); until.After(latest) {
		until = latest
	}
	if until.After(a.shared.held) {
		a.shared.held = until
	}
}

// An account bounds the requests of all callers to one account.
type account struct {
	limit callers.Limit
	// mu guards bucket's tokens and shared. Policies before and after a reload have the same.
	mu     *sync.Mutex
	bucket *bucket // nil without a rate; its own lock is not used
	shared *accountState
}

// An accountState outlives reloads.
type accountState struct {
	inFlight int
	held     time.Time // no request before
}

func newAccount(l callers.Limit, old *account) *account {
	a := &account{limit: l, mu: new(sync.Mutex), shared: new(accountState)}
	var before *bucket
	if old != nil {
		a.mu, a.shared, before = old.mu, old.shared, old.bucket
	}
	a.bucket = newBucket(l.Rate, before)
	return a
}

// refuses says why no request may be sent to the account now, or returns nil. The caller holds
// a.mu.
func (a *account) refuses(name string, now time.Time) *Refusal {
	if wait := a.shared.held.Sub(now); a.limit.Heed && wait > 0 {
		return &Refusal{AccountHeld, wait, "the API of account " + name + " asked for a pause (Retry-After)"}
	}
	if a.limit.Concurrent > 0 && a.shared.inFlight >= a.limit.Concurrent {
		detail := fmt.Sprintf("account %s has %d requests in flight, and may have %d",
			name, a.shared.inFlight, a.limit.Concurrent)
		return &Refusal{AccountConcurrent, concurrentWait, detail}
	}
	if a.bucket != nil {
		if wait := a.bucket.wait(now); wait > 0 {
			return &Refusal{AccountRate, wait, "all callers together may send account " + name + " " + a.bucket.rate.String()}
		}
	}
	return nil
}

// admit counts a request. The caller holds a.mu.
func (a *account) admit(now time.Time) (release func()) {
	if a.bucket != nil {
		a.bucket.take(now)
	}
	a.shared.inFlight++
	released := false
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !released {
			released = true
			a.shared.inFlight--
		}
	}
}

// A bucket holds the tokens of one rate. Whether one is there and taking it are two steps, since
// a request may need one of two buckets: so they have a lock around both. rate.Limiter's own
// way, a reservation that is given up, does not return the token when another came between.
type bucket struct {
	mu      sync.Mutex
	rate    callers.Rate
	limiter *rate.Limiter
}

// newBucket returns the bucket of a rate: the one before if its rate is the same, and nil where
// there is no limit.
func newBucket(r callers.Rate, before *bucket) *bucket {
	switch {
	case r.IsZero():
		return nil
	case before != nil && before.rate == r:
		return before
	}
	return &bucket{rate: r, limiter: rate.NewLimiter(rate.Limit(float64(r.Requests)/r.Per.Seconds()), r.Burst)}
}

// wait returns how long it takes until there is a token; 0 if there is one.
func (b *bucket) wait(now time.Time) time.Duration {
	missing := 1 - b.limiter.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	wait := time.Duration(missing / float64(b.limiter.Limit()) * float64(time.Second))
	return max(wait+time.Microsecond, time.Millisecond) // with room for rounding
}

// take takes a token, which is there.
func (b *bucket) take(now time.Time) { b.limiter.AllowN(now, 1) }
