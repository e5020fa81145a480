package sealed_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"go.uber.org/goleak"

	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/agekey"
	"ticketproxy/tokens/store/file"
	"ticketproxy/tokens/store/memory"
	"ticketproxy/tokens/store/sealed"
	"ticketproxy/tokens/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// identity makes an identity, and returns it with its recipient.
func identity(t *testing.T) (text, recipient string) {
	t.Helper()
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return i.String(), i.Recipient().String()
}

func readKeys(path string) (agekey.Keys, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return agekey.Keys{}, err
	}
	return agekey.Parse(string(data))
}

// A keyFile is an identity file, and the keyring of a process that uses it.
type keyFile struct {
	*sealed.Keyring
	t    *testing.T
	path string
	told []error
}

func newKeyFile(t *testing.T, identities ...string) *keyFile {
	t.Helper()
	f := &keyFile{t: t, path: filepath.Join(t.TempDir(), "keys")}
	f.write(strings.Join(identities, "\n"))
	var err error
	f.Keyring, err = sealed.NewKeyring(sealed.Config{
		Path:    f.path,
		Read:    readKeys,
		Changed: func(err error) { f.told = append(f.told, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// write replaces the file, as orchestrators do.
func (f *keyFile) write(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path+".new", []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		f.t.Fatal(err)
	}
}

// keyless returns the keyring of a process without a key file. The recipient may be "".
func keyless(t *testing.T, recipient string) *sealed.Keyring {
	t.Helper()
	var c sealed.Config
	var err error
	if recipient != "" {
		if c.Recipient, err = agekey.ParseRecipient(recipient); err != nil {
			t.Fatal(err)
		}
	}
	k, err := sealed.NewKeyring(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestContract(t *testing.T) {
	t.Parallel()
	stores := map[string]func(t *testing.T) (a, b tokens.Store){
		"memory": func(*testing.T) (a, b tokens.Store) {
			s := new(memory.Store)
			return s, s
		},
		"file": func(t *testing.T) (a, b tokens.Store) {
			path := t.TempDir()
			return openDir(t, path).Account("park"), openDir(t, path).Account("park")
		},
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) (a, b tokens.Store) {
				a, b = open(t)
				k := newKeyFile(t, storetest.Identity).Keyring
				return sealed.New(a, k, "park"), sealed.New(b, newKeyFile(t, storetest.Identity).Keyring, "park")
			})
		})
	}
}

func openDir(t *testing.T, path string) *file.Dir {
	t.Helper()
	d, err := file.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestTokensAreNotInTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own, recipient := identity(t)
	s := sealed.New(openDir(t, dir).Account("park"), newKeyFile(t, own).Keyring, "park")
	r := storetest.FullRecord()
	r.Grant.AccessToken, r.Grant.RefreshToken = secret.New("canary-access"), secret.New("canary-refresh")
	r.Grant.Fallback = secret.New("canary-fallback")
	storetest.MustSwap(t, s, "", r)
	data, err := os.ReadFile(filepath.Join(dir, "park.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{"canary", "Y2FuYXJ5", "63616e617279"} { // in base64 and hexadecimal, too
		if strings.Contains(string(data), hidden) {
			t.Errorf("the file shows a token: %s", data)
		}
	}
	for _, shown := range []string{`"format": 2,`, recipient, r.Intent.Holder, r.Dead.Reason, "2026-02-03T04:05:06", r.Seed} {
		if !strings.Contains(string(data), shown) {
			t.Errorf("the file does not show %s: %s", shown, data)
		}
	}
	if got, known := s.Recipient(); got != recipient || !known {
		t.Errorf("Recipient() = %q, %v", got, known)
	}
}

// TestOldPrograms tests that a program that knows format 1 alone finds a format that it
// refuses in a sealed record, and its own in a clear one.
func TestOldPrograms(t *testing.T) {
	t.Parallel()
	own, recipient := identity(t)
	sealedRecord, err := newKeyFile(t, own).Seal("park", storetest.Record(1))
	if err != nil {
		t.Fatal(err)
	}
	if data := storetest.Encode(t, sealedRecord); !strings.Contains(string(data), `"format": 2`) {
		t.Errorf("sealed: %s", data)
	}
	if data := storetest.Encode(t, storetest.Record(1)); !strings.Contains(string(data), `"format": 1`) {
		t.Errorf("clear: %s", data)
	}
	for _, mixed := range []string{`{"format":1,"recipient":"` + recipient + `"}`, `{"format":2}`} {
		if _, err := tokens.Decode([]byte(mixed)); !errors.Is(err, tokens.ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", mixed, err)
		}
	}
}

func TestRecordsInClearAreReadAndSealed(t *testing.T) {
	t.Parallel()
	inner := new(memory.Store)
	version := storetest.MustSwap(t, inner, "", storetest.Record(1))
	own, recipient := identity(t)
	s := sealed.New(inner, newKeyFile(t, own).Keyring, "park")
	if _, known := s.Recipient(); known {
		t.Error("the recipient is known before the record was read")
	}
	got := storetest.MustLoad(t, s)
	if to, known := s.Recipient(); to != "" || !known {
		t.Errorf("Recipient() of a record in clear = %q, %v", to, known)
	}
	if got.Version != version || got.Record.Grant.RefreshToken.Reveal() != "refresh-1" || got.Record.Recipient != "" {
		t.Errorf("in clear: %+v", got)
	}
	storetest.MustSwap(t, s, version, got.Record)
	if raw := storetest.MustLoad(t, inner).Record; raw.Recipient != recipient || raw.Grant.RefreshToken.Reveal() == "refresh-1" {
		t.Errorf("after a write: to %q", raw.Recipient)
	}
	if got := storetest.MustLoad(t, s).Record; got.Grant.RefreshToken.Reveal() != "refresh-1" || got.Recipient != recipient {
		t.Errorf("sealed: %+v", got)
	}
}

func TestWhatCannotBeOpenedIsNotReplaced(t *testing.T) {
	t.Parallel()
	own, recipient := identity(t)
	other, _ := identity(t)
	for name, x := range map[string]struct {
		keyring *sealed.Keyring
		account string
		damage  func(*tokens.Record)
		problem string
		hint    string
	}{
		"no key": {
			keyless(t, ""), "park", nil, "encrypted to " + recipient + ", and there is no key",
			"set TICKETPROXY_STATE_KEY_FILE to the file with the identity of " + recipient,
		},
		"another key": {
			newKeyFile(t, other).Keyring, "park", nil, "encrypted to " + recipient + ", which is no identity of the key file",
			"add the identity of " + recipient,
		},
		"another account": {
			newKeyFile(t, own).Keyring, "shop", nil, `it is the access_token of account "park"`, "ticketproxy login shop",
		},
		"another field": {newKeyFile(t, own).Keyring, "park", func(r *tokens.Record) {
			r.Grant.AccessToken = r.Grant.RefreshToken
		}, `it is the refresh_token of account "park"`, "backup"},
		"no base64": {newKeyFile(t, own).Keyring, "park", func(r *tokens.Record) {
			r.Grant.AccessToken = secret.New("canary!")
		}, "not base64", "backup"},
		"no age file": {newKeyFile(t, own).Keyring, "park", func(r *tokens.Record) {
			r.Grant.AccessToken = secret.New("Y2FuYXJ5")
		}, "not an age file", "backup"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner := new(memory.Store)
			storetest.MustSwap(t, sealed.New(inner, newKeyFile(t, own).Keyring, "park"), "", storetest.Record(1))
			if x.damage != nil {
				raw := storetest.MustLoad(t, inner)
				x.damage(&raw.Record)
				storetest.MustSwap(t, inner, raw.Version, raw.Record)
			}
			before := storetest.MustLoad(t, inner)
			s := sealed.New(inner, x.keyring, x.account)
			r, version, err := s.Load(t.Context())
			if !errors.Is(err, tokens.ErrSealed) || errors.Is(err, tokens.ErrDamaged) || version != "" ||
				!r.Grant.Same(tokens.Grant{}) || !strings.Contains(err.Error(), x.problem) || !strings.Contains(hint.Of(err), x.hint) {
				t.Errorf("Load: %+v, version %q, %v; hint: %s", r, version, err, hint.Of(err))
			}
			for _, leak := range []string{"canary", "Y2FuYXJ5", "refresh-1", "access-1"} {
				if strings.Contains(err.Error()+hint.Of(err), leak) {
					t.Errorf("the error shows a token: %v", err)
				}
			}
			if _, err := tokens.Begin(t.Context(), s, storetest.Record(9).Grant, secret.New("seed")); !errors.Is(err, tokens.ErrSealed) {
				t.Errorf("Begin: %v, want ErrSealed", err)
			}
			if _, err := tokens.Rewrite(t.Context(), s); !errors.Is(err, tokens.ErrSealed) {
				t.Errorf("Rewrite: %v, want ErrSealed", err)
			}
			if _, err := s.Swap(t.Context(), "", storetest.Record(9)); !errors.Is(err, tokens.ErrConflict) {
				t.Errorf("Swap of no record: %v, want ErrConflict", err)
			}
			if after := storetest.MustLoad(t, inner); after.Version != before.Version {
				t.Error("the record was written over")
			}
		})
	}
}

// An unsure store writes, and says that it does not know.
type unsure struct{ *memory.Store }

func (s unsure) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	if _, err := s.Store.Swap(ctx, old, next); err != nil {
		return "", err
	}
	return "", tokens.ErrUnknown
}

func TestRecipientAlone(t *testing.T) {
	t.Parallel()
	own, recipient := identity(t)
	inner := new(memory.Store)
	first := storetest.Record(4)
	first.Seed = secret.New("seed").Hash()
	storetest.MustSwap(t, sealed.New(inner, newKeyFile(t, own).Keyring, "park"), "", first)

	s := sealed.New(unsure{inner}, keyless(t, recipient), "park")
	if got := storetest.MustLoad(t, s).Record; got.Generation != 4 || !got.Grant.Same(tokens.Grant{}) || got.Seed != first.Seed {
		t.Errorf("without an identity: %+v", got)
	}
	generation, err := tokens.Begin(t.Context(), s, storetest.Record(9).Grant, secret.String{})
	if err != nil || generation != 5 {
		t.Errorf("Begin: generation %d, %v: its own write was not recognized", generation, err)
	}
	got := storetest.MustLoad(t, sealed.New(inner, newKeyFile(t, own).Keyring, "park")).Record
	if got.Generation != 5 || got.Grant.RefreshToken.Reveal() != "refresh-9" || got.Seed != first.Seed {
		t.Errorf("with the identity: %+v", got)
	}
}

// An informed store has all optional methods.
type informed struct {
	*memory.Store
	notified, refused bool
}

func (s *informed) Gone(holder string) bool    { return holder == "gone" }
func (s *informed) Notify(func())              { s.notified = true }
func (s *informed) NotifyRefused(func(uint64)) { s.refused = true }

func TestOptionalMethods(t *testing.T) {
	t.Parallel()
	plain := sealed.New(new(memory.Store), keyless(t, ""), "park")
	if _, ok := plain.(tokens.Notifier); ok || plain.(tokens.Presence).Gone("gone") {
		t.Error("a store that knows nothing tells something")
	}
	plain.(interface{ NotifyRefused(func(uint64)) }).NotifyRefused(nil)

	inner := &informed{Store: new(memory.Store)}
	s := sealed.New(inner, keyless(t, ""), "park")
	s.(tokens.Notifier).Notify(nil)
	s.(interface{ NotifyRefused(func(uint64)) }).NotifyRefused(nil)
	if p := s.(tokens.Presence); !inner.notified || !inner.refused || !p.Gone("gone") || p.Gone("alive") {
		t.Errorf("the optional methods do not reach %+v", inner)
	}
}
