// Package memory stores records until the process ends, which is enough for accounts whose
// refresh tokens never change.
package memory

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"ticketproxy/tokens"
)

// A Store stores one record. The zero Store is empty and ready for use. It is safe for
// concurrent use. It implements tokens.Store without durability, and never returns
// tokens.ErrUnknown.
type Store struct {
	mu     sync.Mutex
	data   []byte // encoded, so that callers share no memory
	writes uint64 // 0 when there is no record
}

// Load implements tokens.Store.
func (s *Store) Load(ctx context.Context) (tokens.Record, tokens.Version, error) {
	if err := ctx.Err(); err != nil {
		return tokens.Record{}, "", fmt.Errorf("loading record: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writes == 0 {
		return tokens.Record{}, "", tokens.ErrNone
	}
	record, err := tokens.Decode(s.data)
	if err != nil {
		return tokens.Record{}, "", fmt.Errorf("loading record: %w", err)
	}
	return record, s.version(), nil
}

// Swap implements tokens.Store. Every write makes a version of its own.
func (s *Store) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("saving record: %w", err)
	}
	data, err := next.Encode()
	if err != nil {
		return "", fmt.Errorf("saving record: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version() != old {
		return "", tokens.ErrConflict
	}
	s.data = data
	s.writes++
	return s.version(), nil
}

func (s *Store) version() tokens.Version {
	if s.writes == 0 {
		return ""
	}
	return tokens.Version(strconv.FormatUint(s.writes, 10))
}
