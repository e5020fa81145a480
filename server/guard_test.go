package server

import (
	"slices"
	"testing"

	"ticketproxy/config"
)

// TestListenerAnswersToItsAddress checks that a listener accepts the address of
// LISTEN as Host, unless it is the unspecified one, which no machine has.
func TestListenerAnswersToItsAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][]string{
		"127.0.0.2:8080": {"127.0.0.2"},
		"[fd00::5]:8080": {"fd00::5"},
		"localhost:8080": {"localhost"},
		"0.0.0.0:8080":   nil,
		"[::]:8080":      nil,
	} {
		g := guardOf(config.Config{}, &listener{address: config.Address{Network: "tcp", Address: address}})
		if !slices.Equal(g.Hosts, want) {
			t.Errorf("%s answers to %q, want %q", address, g.Hosts, want)
		}
	}
}
