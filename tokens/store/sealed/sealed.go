// Package sealed encrypts the tokens in records, whatever store has them. It knows of no
// store in particular.
//
// A sealed record names its recipient, and has an age file, in base64, in place of each
// token. The rest of it stays readable. Each age file also holds the account's name and the
// field's, which are compared, so that a record that was copied to another account is
// refused.
package sealed

import (
	"context"
	"sync"

	"ticketproxy/tokens"
)

// A Store is a tokens.Store that encrypts.
type Store interface {
	tokens.Store
	// Recipient returns to whom the record was encrypted when it was last read or written;
	// "" when it was in clear. It is not known before that.
	Recipient() (_ string, known bool)
}

// New returns a store that keeps an account's record in inner, with its tokens encrypted by
// the keyring. A record in clear is read, too, and the next Swap encrypts it. Without a key
// the keyring leaves records in clear, and the store refuses encrypted ones.
//
// The error of Load is tokens.ErrSealed, with no version that Swap would take, when the
// keyring cannot open the record. The store is a tokens.Notifier if inner is one.
func New(inner tokens.Store, keyring *Keyring, account string) Store {
	s := &store{inner: inner, keyring: keyring, account: account}
	if n, ok := inner.(tokens.Notifier); ok {
		return notifier{s, n}
	}
	return s
}

var (
	_ tokens.Presence        = (*store)(nil)
	_ tokens.Witness         = (*store)(nil)
	_ tokens.RefusalNotifier = (*store)(nil)
)

// A store is a tokens.Store that seals and opens. Safe for concurrent use.
type store struct {
	inner   tokens.Store
	keyring *Keyring
	account string

	mu   sync.Mutex
	last pair    // what was sealed or opened last
	seen *string // the recipient of the record that was last read or written; nil before
}

// A pair is the tokens of one record in both forms. It spares the work of opening what is
// read again and again. It also lets a process that has no identity find out whether a write
// of its own succeeded.
type pair struct {
	recipient      string
	sealed, opened tokens.Grant
}

// Load implements tokens.Store.
func (s *store) Load(ctx context.Context) (tokens.Record, tokens.Version, error) {
	record, version, err := s.inner.Load(ctx)
	if err != nil {
		return record, version, err
	}
	s.see(record.Recipient)
	if record.Recipient == "" {
		return record, version, nil
	}
	if opened, ok := s.known(record); ok {
		return opened, version, nil
	}
	opened, err := s.keyring.Open(s.account, record)
	if err != nil {
		return tokens.Record{}, "", err
	}
	if !s.keyring.sealsOnly() {
		s.note(record, opened)
	}
	return opened, version, nil
}

// Swap implements tokens.Store.
func (s *store) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	record, err := s.keyring.Seal(s.account, next)
	if err != nil {
		return "", err
	}
	s.note(record, next)
	version, err := s.inner.Swap(ctx, old, record)
	if err == nil {
		s.see(record.Recipient)
	}
	return version, err
}

// Recipient implements Store.
func (s *store) Recipient() (_ string, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		return "", false
	}
	return *s.seen, true
}

func (s *store) see(recipient string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = &recipient
}

// known returns the record with the tokens of the last pair, if it has those.
func (s *store) known(sealed tokens.Record) (_ tokens.Record, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.last
	if sealed.Recipient != last.recipient || !sealed.Grant.Same(last.sealed) ||
		!sealed.Grant.Fallback.Equal(last.sealed.Fallback) {
		return tokens.Record{}, false
	}
	opened := fields(&last.opened)
	for i, f := range fields(&sealed.Grant) {
		*f.token = *opened[i].token
	}
	return sealed, true
}

func (s *store) note(sealed, opened tokens.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = pair{sealed.Recipient, sealed.Grant, opened.Grant}
}

// Gone implements tokens.Presence. It is false when inner is none, which then cannot tell.
func (s *store) Gone(holder string) bool {
	p, ok := s.inner.(tokens.Presence)
	return ok && p.Gone(holder)
}

// NotifyRefused passes on which access tokens readers report as refused, if inner tells.
func (s *store) NotifyRefused(refused func(generation uint64)) {
	if n, ok := s.inner.(tokens.RefusalNotifier); ok {
		n.NotifyRefused(refused)
	}
}

// Restored implements tokens.Witness. It is false when inner is none, which then cannot tell.
func (s *store) Restored(ctx context.Context, lost, next tokens.Version) bool {
	w, ok := s.inner.(tokens.Witness)
	return ok && w.Restored(ctx, lost, next)
}

// A notifier is a store whose inner one tells of changes.
type notifier struct {
	*store
	tokens.Notifier
}
