// Package store opens the backend that stores the records of all accounts. Each kind of
// backend is a package below. Package storetest tests the contract of all of them.
package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/file"
	"ticketproxy/tokens/store/memory"
)

// A Backend stores the records of all accounts. Safe for concurrent use.
type Backend interface {
	// Account returns the store of one account's record, by the account's name. All
	// callers get the same record.
	Account(name string) tokens.Store
	// Holder returns the unique id of this process in the records.
	Holder() string
	// Probe proves that records can be stored, without touching any account's record. It
	// describes what it has proved.
	Probe(ctx context.Context) (proved string, err error)
	// Close releases the backend.
	Close() error
}

// Open opens the backend of a URL: file: and an absolute directory, or memory:. An error
// may have a hint.
func Open(url string) (Backend, error) {
	kind, rest, _ := strings.Cut(url, ":")
	switch {
	case kind == "file":
		dir, err := file.Open(rest)
		if err != nil {
			return nil, err
		}
		return files{dir}, nil
	case url == "memory:":
		return &memories{holder: rand.Text(), accounts: map[string]*memory.Store{}}, nil
	}
	return nil, errors.New("opening state: of no known kind")
}

// files is a Backend in a directory.
type files struct{ *file.Dir }

// Account implements Backend.
func (f files) Account(name string) tokens.Store { return f.Dir.Account(name) }

// Probe implements Backend.
func (f files) Probe(ctx context.Context) (string, error) {
	return fmt.Sprintf("%s was written, locked, synced, replaced and read back", f.Path()), f.Dir.Probe(ctx)
}

// memories is a Backend in memory.
type memories struct {
	holder string

	mu       sync.Mutex
	accounts map[string]*memory.Store
}

// Account implements Backend.
func (m *memories) Account(name string) tokens.Store {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.accounts[name] == nil {
		m.accounts[name] = new(memory.Store)
	}
	return m.accounts[name]
}

// Holder implements Backend.
func (m *memories) Holder() string { return m.holder }

// Probe implements Backend.
func (m *memories) Probe(context.Context) (string, error) {
	return "in memory, for refresh tokens that do not rotate", nil
}

// Close implements Backend.
func (m *memories) Close() error { return nil }
