package jwks

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Fresh is how long keys are used before they are fetched again, in the background.
	Fresh = 5 * time.Minute
	// Stale is how long keys are used while the issuer cannot be asked.
	Stale = 24 * time.Hour
	// FetchInterval is the shortest time from the begin of a fetch to the next.
	FetchInterval = 10 * time.Second
	// fetchTimeout bounds a fetch with all of its requests, and who waits for one.
	fetchTimeout = 10 * time.Second
)

var (
	// ErrNoKeys says that no key fits, and that the issuer cannot be asked now.
	ErrNoKeys = errors.New("the issuer's keys cannot be fetched now")
	// ErrUnknownKey says that the issuer has no such key.
	ErrUnknownKey = errors.New("the issuer has no such key")
)

// A Source has the keys of one issuer. Safe for concurrent use. It fetches nothing before it
// is asked for a key.
type Source struct {
	config  Config
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	current atomic.Pointer[snapshot]

	mu     sync.Mutex
	flight chan struct{} // closed when the fetch that is under way ends; nil when none is
	begun  time.Time     // of the last fetch
	err    error         // of the last fetch
	closed bool
}

// A snapshot is keys and when they were fetched.
type snapshot struct {
	set     *Set
	fetched time.Time
}

// New returns a source. The error is of a config that cannot work.
func New(c Config) (*Source, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &Source{config: c}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Close ends a fetch that is under way. No other begins. It waits for nothing: the disk of a file
// of CAs may not answer.
func (s *Source) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
}

// Current returns the keys that may be used now; nil when there are none. It waits for
// nothing. Keys that are not fresh are fetched in the background.
func (s *Source) Current() *Set {
	held := s.current.Load()
	if held == nil {
		return nil
	}
	age := time.Since(held.fetched)
	if age > Fresh {
		s.begin()
	}
	if age > Stale {
		return nil
	}
	return held.set
}

// Find returns the keys that a token may be signed with, by the members kid and alg of its
// header, and the set that they are of. It waits for a fetch only when no key fits and a
// fetch is allowed or under way, and for that at most ten seconds. The error is ErrNoKeys,
// ErrUnknownKey, or of the context.
func (s *Source) Find(ctx context.Context, kid, alg string) ([]*Key, *Set, error) {
	set := s.Current()
	if keys := set.find(kid, alg); len(keys) > 0 {
		return keys, set, nil
	}
	if flight := s.begin(); flight != nil {
		ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
		defer cancel()
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
	set = s.Current()
	if set == nil {
		return nil, nil, ErrNoKeys
	}
	switch keys := set.find(kid, alg); {
	case len(keys) > 0:
		return keys, set, nil
	case s.failing():
		return nil, nil, ErrNoKeys
	}
	return nil, nil, ErrUnknownKey
}

// failing reports whether the last fetch has failed. The issuer may have keys that are not known.
func (s *Source) failing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// begin begins a fetch, if none is under way and the last one is long enough ago. It returns
// what is closed at the fetch's end; nil when there is none.
func (s *Source) begin() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	if s.closed || !s.begun.IsZero() && time.Since(s.begun) < FetchInterval {
		return nil
	}
	s.begun = time.Now()
	s.flight = make(chan struct{})
	go s.fetch()
	return s.flight
}

// fetch replaces the keys, or keeps them when that fails.
func (s *Source) fetch() {
	ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
	defer cancel()
	set, err := s.config.fetch(ctx)
	if err == nil {
		if held := s.current.Load(); held != nil && held.set.equal(set) {
			set = held.set // so that tokens verified by it need no other look
		}
		s.current.Store(&snapshot{set, time.Now()})
	}
	s.mu.Lock()
	close(s.flight)
	s.flight = nil
	news := err != nil && (s.err == nil || s.err.Error() != err.Error())
	s.err = err
	closed := s.closed
	s.mu.Unlock()
	if news && !closed && s.config.Report != nil {
		s.config.Report(err)
	}
}
