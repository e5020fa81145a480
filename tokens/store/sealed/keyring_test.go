package sealed_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
	"ticketproxy/tokens/store/sealed"
	"ticketproxy/tokens/store/storetest"
)

func TestRotation(t *testing.T) {
	t.Parallel()
	oldKey, oldRecipient := identity(t)
	newKey, newRecipient := identity(t)
	inner := new(memory.Store)
	keys := newKeyFile(t, oldKey)
	s := sealed.New(inner, keys.Keyring, "park")
	storetest.MustSwap(t, s, "", storetest.Record(1))

	keys.write(newKey + "\n" + oldKey)
	if got := storetest.MustLoad(t, s).Record; got.Recipient != oldRecipient {
		t.Errorf("encrypted to %s before a rewrite", got.Recipient)
	}
	record, err := tokens.Rewrite(t.Context(), s)
	if err != nil || record.Generation != 1 {
		t.Fatalf("Rewrite: %+v, %v", record, err)
	}
	if raw := storetest.MustLoad(t, inner).Record; raw.Recipient != newRecipient {
		t.Errorf("encrypted to %s after a rewrite", raw.Recipient)
	}
	fresh := sealed.New(inner, newKeyFile(t, newKey).Keyring, "park")
	if got := storetest.MustLoad(t, fresh).Record; got.Grant.RefreshToken.Reveal() != "refresh-1" {
		t.Errorf("with the new identity alone: %+v", got)
	}
	if len(keys.told) != 1 || keys.told[0] != nil {
		t.Errorf("told %v of one change", keys.told)
	}
	if _, err := tokens.Rewrite(t.Context(), sealed.New(new(memory.Store), keys.Keyring, "park")); !errors.Is(err, tokens.ErrNone) {
		t.Errorf("Rewrite of no record: %v, want ErrNone", err)
	}
}

func TestABadKeyFileLeavesTheKeysAsTheyWere(t *testing.T) {
	t.Parallel()
	own, _ := identity(t)
	inner := new(memory.Store)
	storetest.MustSwap(t, sealed.New(inner, newKeyFile(t, own).Keyring, "park"), "", storetest.Record(1))
	keys := newKeyFile(t, own)
	load := func() {
		t.Helper()
		storetest.MustLoad(t, sealed.New(inner, keys.Keyring, "park"))
		storetest.MustLoad(t, sealed.New(inner, keys.Keyring, "park"))
	}
	keys.write("canary")
	load()
	if err := keys.Problem(); err == nil || strings.Contains(err.Error(), "canary") || len(keys.told) != 1 {
		t.Errorf("problem %v, told %v", err, keys.told)
	}
	if err := os.Remove(keys.path); err != nil {
		t.Fatal(err)
	}
	load()
	if err := keys.Problem(); err == nil || len(keys.told) != 2 {
		t.Errorf("problem %v, told %v", err, keys.told)
	}
	keys.write(own)
	load()
	if err := keys.Problem(); err != nil || len(keys.told) != 3 || keys.told[2] != nil {
		t.Errorf("problem %v, told %v", err, keys.told)
	}
	if _, err := sealed.NewKeyring(sealed.Config{Path: keys.path + "x", Read: readKeys}); err == nil {
		t.Error("a keyring of a file that is missing")
	}
}

// TestTheRightKeyComesLate tests that a record is read as soon as the file has its identity.
func TestTheRightKeyComesLate(t *testing.T) {
	t.Parallel()
	own, _ := identity(t)
	other, _ := identity(t)
	inner := new(memory.Store)
	storetest.MustSwap(t, sealed.New(inner, newKeyFile(t, own).Keyring, "park"), "", storetest.Record(1))
	keys := newKeyFile(t, other)
	s := sealed.New(inner, keys.Keyring, "park")
	if _, _, err := s.Load(t.Context()); !errors.Is(err, tokens.ErrSealed) {
		t.Fatalf("Load: %v, want ErrSealed", err)
	}
	keys.write(other + "\n" + own)
	if got := storetest.MustLoad(t, s).Record; got.Generation != 1 {
		t.Errorf("%+v", got)
	}
}
