package server

import (
	"fmt"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/tokens/store"
)

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
