package server

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// TestOpenState checks that each kind of state can be read and closed.
func TestOpenState(t *testing.T) {
	t.Parallel()
	for _, c := range []config.State{{Kind: "memory"}, {Kind: "file", Dir: t.TempDir()}} {
		state, err := openState(config.Config{State: c}, nil)
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

// TestUnsealedWarning tests when rekey is advised: only for what it can open.
func TestUnsealedWarning(t *testing.T) {
	t.Parallel()
	var identities []*age.X25519Identity
	for range 3 {
		identity, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		identities = append(identities, identity)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(identities[0].String()+"\n"+identities[1].String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	state, err := openState(config.Config{State: config.State{Kind: "memory"}, StateKeyFile: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	for recipient, want := range map[string]string{
		"":                                 "in clear",
		identities[0].Recipient().String(): "",
		identities[1].Recipient().String(): "not the first identity",
		identities[2].Recipient().String(): "",
	} {
		if got := state.unsealedWarning(recipient); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", recipient, got, want)
		}
	}
}

// TestRenewState tests that another state is not taken up without a restart.
func TestRenewState(t *testing.T) {
	t.Parallel()
	before := config.State{Kind: "postgres", Database: "postgres://me@localhost/x",
		URL: secret.New("postgres:///x?host=localhost&port=1&user=me&password=old")}
	state, err := openState(config.Config{State: before}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	now := before
	now.URL = secret.New("postgres:///x?host=localhost&port=1&user=me&password=new")
	if err := state.renew(before, now); err != nil {
		t.Errorf("another password: %v", err)
	}
	now.URL = secret.New("postgres:///x?host=localhost&port=2&user=me&password=new")
	for _, now := range []config.State{now, {Kind: "file", Dir: "/x"}} {
		if err := state.renew(before, now); err == nil || !strings.Contains(hint.Of(err), "restart") {
			t.Errorf("%s: %v", now, err)
		}
	}
}
