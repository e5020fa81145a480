// Package store opens the backend that stores the records of all accounts. Each kind of
// backend is a package below. Package storetest tests the contract of all of them.
package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/file"
	"ticketproxy/tokens/store/kubernetes"
	"ticketproxy/tokens/store/memory"
	"ticketproxy/tokens/store/postgres"
)

// A Backend stores the records of all accounts. Safe for concurrent use.
type Backend interface {
	// Account returns the store of one account's record, by the account's name. All
	// callers get the same record.
	Account(name string) tokens.Store
	// Access returns what a reader uses of one account; nil where the backend has no place
	// for access tokens beside the state.
	Access(name string) tokens.AccessStore
	// Holder returns the unique id of this process in the records.
	Holder() string
	// Probe proves that records can be stored, without touching any account's record. It
	// describes what it has proved.
	Probe(ctx context.Context) (proved string, err error)
	// Close releases the backend.
	Close() error
}

// An AccessProber is a Backend with a place for access tokens.
type AccessProber interface {
	// ProbeReader proves that a reader can use the access tokens, without reading the state.
	// It describes what it has proved, and warns of what this user may do besides.
	ProbeReader(ctx context.Context) (proved string, warnings []string, err error)
	// ProbeCopy says whether a refresher can write access tokens for readers, and how to
	// allow it. That is no error, because there may be no readers.
	ProbeCopy(ctx context.Context) (found string, err error)
}

// A CopyReporter is a Backend that writes access tokens for readers, and tells when it may not.
type CopyReporter interface {
	// ReportCopies has report called once when this user's rights or the place for access
	// tokens do not let them be written, with an error that has a hint; with nil when they
	// were written after that. exists says whether there is such a place, so that readers are
	// to be expected. report returns at once. ReportCopies is called once, before the first
	// swap.
	ReportCopies(report func(err error, exists bool))
}

// A Lister is a Backend that can tell of which accounts it has records.
type Lister interface {
	// Accounts returns the accounts' names in alphabetical order.
	Accounts(ctx context.Context) ([]string, error)
}

// Open opens the backend of a URL: file: and an absolute directory, kubernetes: and the
// name of a Secret, the URL of a PostgreSQL database, or memory:. An error may have a hint,
// and shows no secret of the URL.
func Open(url string) (Backend, error) {
	kind, rest, _ := strings.Cut(url, ":")
	switch {
	case kind == "file":
		dir, err := file.Open(rest)
		if err != nil {
			return nil, err
		}
		return files{dir}, nil
	case kind == "kubernetes":
		s, err := kubernetes.Open(rest, os.Getenv)
		if err != nil {
			return nil, fmt.Errorf("opening state: %w", err)
		}
		return secrets{s}, nil
	case kind == "postgres" || kind == "postgresql":
		d, err := postgres.Open(url)
		if err != nil {
			return nil, fmt.Errorf("opening state: %w", err)
		}
		return databases{d}, nil
	case url == "memory:":
		return &memories{holder: rand.Text(), accounts: map[string]*memory.Store{}}, nil
	}
	return nil, errors.New("opening state: of no known kind")
}

// files is a Backend in a directory.
type files struct{ *file.Dir }

// Account implements Backend.
func (f files) Account(name string) tokens.Store { return f.Dir.Account(name) }

// Access implements Backend.
func (files) Access(string) tokens.AccessStore { return nil }

// Probe implements Backend.
func (f files) Probe(ctx context.Context) (string, error) {
	return fmt.Sprintf("%s was written, locked, synced, replaced and read back", f.Path()), f.Dir.Probe(ctx)
}

// secrets is a Backend in a Secret of Kubernetes.
type secrets struct{ *kubernetes.Secret }

// Account implements Backend.
func (s secrets) Account(name string) tokens.Store { return s.Secret.Account(name) }

// Access implements Backend.
func (s secrets) Access(name string) tokens.AccessStore { return s.Secret.Access(name) }

// databases is a Backend in a database of PostgreSQL.
type databases struct{ *postgres.Database }

// Account implements Backend.
func (d databases) Account(name string) tokens.Store { return d.Database.Account(name) }

// Access implements Backend.
func (d databases) Access(name string) tokens.AccessStore { return d.Database.Access(name) }

var (
	_ AccessProber = secrets{}
	_ AccessProber = databases{}
	_ CopyReporter = secrets{}
	_ CopyReporter = databases{}
	_ Lister       = files{}
	_ Lister       = secrets{}
	_ Lister       = databases{}
)

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

// Access implements Backend.
func (*memories) Access(string) tokens.AccessStore { return nil }

// Holder implements Backend.
func (m *memories) Holder() string { return m.holder }

// Probe implements Backend.
func (m *memories) Probe(context.Context) (string, error) {
	return "in memory, for refresh tokens that do not rotate", nil
}

// Close implements Backend.
func (m *memories) Close() error { return nil }
