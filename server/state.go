package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/agekey"
	"ticketproxy/tokens/store"
	"ticketproxy/tokens/store/sealed"
)

// A sealedState is a Backend whose records are encrypted as the configuration says.
type sealedState struct {
	store.Backend
	keyring *sealed.Keyring

	mu       sync.Mutex
	accounts map[string]sealed.Store
}

// openState opens the state that the configuration names. changed is told what becomes of
// changes of the identity file; it may be nil.
func openState(c config.Config, changed func(error)) (*sealedState, error) {
	keyring, err := openKeyring(c, changed)
	if err != nil {
		return nil, err
	}
	backend, err := store.Open(c.State.Reveal())
	if err != nil {
		return nil, stateError(err)
	}
	return newSealedState(backend, keyring), nil
}

func newSealedState(backend store.Backend, keyring *sealed.Keyring) *sealedState {
	return &sealedState{Backend: backend, keyring: keyring, accounts: map[string]sealed.Store{}}
}

// openKeyring reads the keys that encrypt the state.
func openKeyring(c config.Config, changed func(error)) (*sealed.Keyring, error) {
	keyring, err := sealed.NewKeyring(sealed.Config{
		Path:      c.StateKeyFile,
		Read:      config.ReadStateKey,
		Recipient: c.StateRecipient,
		Changed:   changed,
	})
	if err != nil {
		return nil, fmt.Errorf("TICKETPROXY_STATE_KEY_FILE: %w", err)
	}
	return keyring, nil
}

// renew takes up what the files of the state have become: passwords and certificates, where
// the state has any. The error says that another state needs a restart, or what is wrong.
func (s *sealedState) renew(before, now config.State) error {
	if before.String() != now.String() {
		return hint.With(errors.New("TICKETPROXY_STATE_FILE names another state now"), "restart the program to use it")
	}
	if r, ok := s.Backend.(interface{ Renew(url string) error }); ok {
		if err := r.Renew(now.Reveal()); err != nil {
			return fmt.Errorf("reading TICKETPROXY_STATE again: %w", err)
		}
	}
	return nil
}

// Account implements store.Backend.
func (s *sealedState) Account(name string) tokens.Store { return s.sealed(name) }

// Access implements store.Backend.
func (s *sealedState) Access(name string) tokens.AccessStore {
	if inner := s.Backend.Access(name); inner != nil {
		return sealed.NewAccess(inner, s.keyring, name)
	}
	return nil
}

func (s *sealedState) sealed(name string) sealed.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[name] == nil {
		s.accounts[name] = sealed.New(s.Backend.Account(name), s.keyring, name)
	}
	return s.accounts[name]
}

// probe proves that records can be stored, and leaves the state as it is. The error has a hint.
//
// It is the store that is tried, with a record in clear: to encrypt one takes no more than the
// recipient, which is known since the state was opened.
func (s *sealedState) probe(ctx context.Context, place config.State) (proved string, _ error) {
	proved, err := s.Backend.Probe(ctx)
	if err == nil || hint.Of(err) != "" {
		return proved, err
	}
	if place.Kind == "file" {
		return "", hint.With(err, "make "+place.Dir+" a directory that this user can write to, on a local disk with room")
	}
	return "", hint.With(err, "see that "+place.String()+" can be reached")
}

// recipientWarning says that a record would no longer be encrypted to a recipient, but to
// another one, of which nothing is known here; nil when the keyring opens the record, and when
// it is in clear.
func (s *sealedState) recipientWarning(account, recipient string) error {
	next := s.keyring.Recipient()
	if next.IsZero() || recipient == "" || recipient == next.String() || s.keyring.Opens(recipient) {
		return nil
	}
	from, to := agekey.Short(recipient), agekey.Short(next.String())
	if _, err := agekey.ParseRecipient(recipient); err != nil {
		from = strconv.Quote(from)
	}
	return hint.With(
		fmt.Errorf("the record of account %s is encrypted to %s, and this login will encrypt it to %s: "+
			"no instance that lacks the identity of %s can then read it", account, from, to, to),
		"set TICKETPROXY_STATE_RECIPIENT to "+from+", if the running instances have its identity; "+
			"or add the identity of "+to+" to their files of TICKETPROXY_STATE_KEY_FILE before you log in",
	)
}

// unsealedWarning says that a record is not encrypted to the identity that it should be
// encrypted to; "" when it is, and when no identity here opens it, so that rekey would be no
// help. The recipient is the record's.
func (s *sealedState) unsealedWarning(recipient string) string {
	const until = " until it is next written; to do that now: ticketproxy rekey"
	switch want := s.keyring.Recipient(); {
	case want.IsZero() || want.String() == recipient:
		return ""
	case recipient == "":
		return "its record is in clear" + until
	case !s.keyring.Opens(recipient):
		return ""
	}
	return "its record is encrypted to " + agekey.Short(recipient) + ", which is not the first identity," + until
}

// noteStateKey logs what became of a change of the identity file.
func noteStateKey(log *zap.Logger, err error) {
	if err != nil {
		log.Error("reading the keys of the state again: going on with those before", zap.Error(err))
		return
	}
	log.Info("the keys of the state were read again")
}

// needsKey returns an error when records would be written that nobody here could read.
func needsKey(c config.Config, what string) error {
	if c.StateKeyFile != "" || c.StateRecipient.IsZero() {
		return nil
	}
	return hint.Usage(
		errors.New("TICKETPROXY_STATE_RECIPIENT is enough for login, and "+what+" reads tokens too"),
		"set TICKETPROXY_STATE_KEY_FILE to the file with the recipient's identity",
	)
}

// stateError says that the directory of STATE cannot be used, and what to do as
// far as the error itself does not know better.
func stateError(err error) error {
	err = fmt.Errorf("TICKETPROXY_STATE: %w", err)
	if hint.Of(err) == "" {
		err = hint.With(err, "set TICKETPROXY_STATE to file: and a directory that this user can make or owns")
	}
	return err
}
