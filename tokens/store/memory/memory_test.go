package memory_test

import (
	"testing"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
	"ticketproxy/tokens/store/storetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) (a, b tokens.Store) {
		s := new(memory.Store)
		return s, s
	})
}
