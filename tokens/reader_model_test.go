package tokens_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
)

// A split is a state that refreshers share, with the access tokens that readers see beside
// it.
type split struct {
	memory.Store
	mute   bool        // it tells nobody of changes
	noCopy atomic.Bool // access tokens are not written
	down   atomic.Bool // readers cannot read
	denied atomic.Bool // readers cannot raise the flag

	loads  atomic.Int64 // of access tokens
	raises atomic.Int64 // of the flag

	mu      sync.Mutex
	access  tokens.Record // generation 0 when there is none
	changed []func()
	refused []func(uint64)
}

func (s *split) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	version, err := s.Store.Swap(ctx, old, next)
	if err == nil && !s.noCopy.Load() {
		s.put(next.Access())
	}
	return version, err
}

// put replaces the access token, and tells the readers.
func (s *split) put(rec tokens.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.access.SameAccess(rec) {
		return
	}
	s.access = rec
	for _, tell := range s.changed {
		if !s.mute {
			tell()
		}
	}
}

func (s *split) NotifyRefused(refused func(uint64)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = append(s.refused, refused)
}

// flag raises the flag for a generation.
func (s *split) flag(generation uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raises.Add(1)
	for _, tell := range s.refused {
		tell(generation)
	}
}

// A readerView is a reader's view of a split.
type readerView struct{ shared *split }

func (v readerView) LoadAccess(context.Context) (tokens.Record, error) {
	v.shared.loads.Add(1)
	if v.shared.down.Load() {
		return tokens.Record{}, tokens.ErrUnavailable
	}
	v.shared.mu.Lock()
	defer v.shared.mu.Unlock()
	if v.shared.access.Grant.AccessToken.IsZero() {
		return tokens.Record{}, tokens.ErrNone
	}
	return v.shared.access, nil
}

func (v readerView) Refuse(_ context.Context, generation uint64) error {
	if v.shared.denied.Load() {
		return errors.New("403 Forbidden")
	}
	v.shared.flag(generation)
	return nil
}

func (v readerView) Notify(changed func()) {
	v.shared.mu.Lock()
	defer v.shared.mu.Unlock()
	v.shared.changed = append(v.shared.changed, changed)
}

// startReader runs a reader until the test ends.
func startReader(t *testing.T, s *split) *tokens.Reader {
	t.Helper()
	r := tokens.NewReader(tokens.ReaderConfig{Account: "park", Store: readerView{s}})
	runReader(t, r)
	return r
}

// runReader has a reader run until the test ends.
func runReader(t *testing.T, r *tokens.Reader) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	t.Cleanup(func() {
		if err := r.Drain(context.Background()); err != nil {
			t.Errorf("drain: %v", err)
		}
		cancel()
		<-done
	})
}

// mustRead returns the reader's token, which must be good.
func mustRead(t *testing.T, r *tokens.Reader, i *issuer) tokens.Token {
	t.Helper()
	token, err := r.Token(t.Context())
	if err != nil || !i.good(token.AccessToken) {
		t.Fatalf("token of generation %d, good: %v, error %v; status %+v", token.Generation, i.good(token.AccessToken), err, r.Status())
	}
	return token
}
