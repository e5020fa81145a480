package store

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"ticketproxy/tokens"
)

// Memory keeps one record for as long as the process lives, which is enough
// for an account whose refresh token never changes. The zero Memory is empty
// and ready for use. It is safe for concurrent use; it implements tokens.Store
// but for durability, and never returns tokens.ErrUnknown.
type Memory struct {
	mu     sync.Mutex
	data   []byte // encoded, so that no caller shares memory with another
	writes uint64 // 0 when there is no record
}

// Load implements tokens.Store.
func (m *Memory) Load(ctx context.Context) (tokens.Record, tokens.Version, error) {
	if err := ctx.Err(); err != nil {
		return tokens.Record{}, "", fmt.Errorf("loading record: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.writes == 0 {
		return tokens.Record{}, "", tokens.ErrNone
	}
	record, err := tokens.Decode(m.data)
	if err != nil {
		return tokens.Record{}, "", fmt.Errorf("loading record: %w", err)
	}
	return record, m.version(), nil
}

// Swap implements tokens.Store. Every write makes a version of its own.
func (m *Memory) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("saving record: %w", err)
	}
	data, err := next.Encode()
	if err != nil {
		return "", fmt.Errorf("saving record: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.version() != old {
		return "", tokens.ErrConflict
	}
	m.data = data
	m.writes++
	return m.version(), nil
}

func (m *Memory) version() tokens.Version {
	if m.writes == 0 {
		return ""
	}
	return tokens.Version(strconv.FormatUint(m.writes, 10))
}
