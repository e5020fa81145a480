package file

import (
	"testing"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) (a, b tokens.Store) {
		path := t.TempDir()
		return openTest(t, path).Account("park"), openTest(t, path).Account("park")
	})
}

func TestContractOnOneHandle(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) (a, b tokens.Store) {
		f := openTest(t, t.TempDir()).Account("park")
		return f, f
	})
}
