package sealed

import (
	"context"

	"ticketproxy/tokens"
)

// NewAccess returns an account's access tokens in inner, opened by the keyring. LoadAccess
// fails with tokens.ErrSealed when the keyring cannot open them. The store is a
// tokens.Notifier if inner is one.
func NewAccess(inner tokens.AccessStore, keyring *Keyring, account string) tokens.AccessStore {
	a := access{inner, keyring, account}
	if n, ok := inner.(tokens.Notifier); ok {
		return accessNotifier{a, n}
	}
	return a
}

// An access is a tokens.AccessStore that opens. Safe for concurrent use.
type access struct {
	tokens.AccessStore
	keyring *Keyring
	account string
}

// LoadAccess implements tokens.AccessStore.
func (a access) LoadAccess(ctx context.Context) (tokens.Record, error) {
	record, err := a.AccessStore.LoadAccess(ctx)
	if err != nil {
		return record, err
	}
	return a.keyring.Open(a.account, record)
}

// An accessNotifier is an access whose inner store tells of changes.
type accessNotifier struct {
	access
	tokens.Notifier
}
