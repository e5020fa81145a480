package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store"
)

// storeTimeout bounds one use of the state.
const storeTimeout = 10 * time.Second

// openState opens the state that the configuration names.
func openState(c config.State) (store.Backend, error) {
	state, err := store.Open(c.String())
	if err != nil {
		return nil, stateError(err)
	}
	return state, nil
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

// readable fails where the account has a record that cannot be used: that is better
// said at the start than with the first request.
func readable(state store.Backend, account string) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if _, _, err := state.Account(account).Load(ctx); err != nil && !errors.Is(err, tokens.ErrNone) {
		return fmt.Errorf("opening account %s: %w", account, err)
	}
	return nil
}
