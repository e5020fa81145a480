package server

import (
	"errors"
	"testing"

	"ticketproxy/config"
	"ticketproxy/tokens"
)

// TestOpenState checks that each kind of state can be read and closed.
func TestOpenState(t *testing.T) {
	t.Parallel()
	for _, c := range []config.State{{Kind: "memory"}, {Kind: "file", Dir: t.TempDir()}} {
		state, err := openState(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := state.Account("park").Load(t.Context()); !errors.Is(err, tokens.ErrNone) {
			t.Errorf("%s: %v, want ErrNone", c.Kind, err)
		}
		if state.Holder() == "" {
			t.Errorf("%s: this process has no holder's name", c.Kind)
		}
		if err := state.Close(); err != nil {
			t.Errorf("%s: %v", c.Kind, err)
		}
	}
}
