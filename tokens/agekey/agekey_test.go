package agekey_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"filippo.io/age"

	"ticketproxy/tokens/agekey"
)

// identity makes an identity, and returns it with its recipient.
func identity(t *testing.T, hybrid bool) (text, recipient string) {
	t.Helper()
	if hybrid {
		i, err := age.GenerateHybridIdentity()
		if err != nil {
			t.Fatal(err)
		}
		return i.String(), i.Recipient().String()
	}
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return i.String(), i.Recipient().String()
}

func mustParse(t *testing.T, text string) agekey.Keys {
	t.Helper()
	keys, err := agekey.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestEncryptAndDecrypt(t *testing.T) {
	t.Parallel()
	for _, hybrid := range []bool{false, true} {
		own, recipient := identity(t, hybrid)
		other, _ := identity(t, !hybrid)
		r, err := agekey.ParseRecipient(recipient)
		if err != nil || r.String() != recipient || r.IsZero() {
			t.Fatalf("ParseRecipient: %v, %v", r, err)
		}
		encrypted, err := r.Encrypt([]byte("token"))
		if err != nil || bytes.Contains(encrypted, []byte("token")) {
			t.Fatalf("Encrypt: %q, %v", encrypted, err)
		}
		file := "# created: 2026-01-01T00:00:00Z\r\n# public key: " + recipient + "\r\n" + other + "\n\n  " + own + "  "
		keys := mustParse(t, file)
		plain, err := keys.Decrypt(encrypted)
		if err != nil || string(plain) != "token" {
			t.Errorf("Decrypt: %q, %v", plain, err)
		}
		if !keys.Has(r) || keys.Recipient().String() == recipient || mustParse(t, own).Recipient().String() != recipient {
			t.Error("the recipients are not those of the identities, in order")
		}
		for _, wrong := range []agekey.Keys{{}, mustParse(t, other)} {
			if _, err := wrong.Decrypt(encrypted); !errors.Is(err, agekey.ErrNoMatch) {
				t.Errorf("Decrypt with another identity: %v, want ErrNoMatch", err)
			}
		}
		encrypted[len(encrypted)-1] ^= 1
		if _, err := keys.Decrypt(encrypted); err == nil || errors.Is(err, agekey.ErrNoMatch) {
			t.Errorf("Decrypt of a damaged file: %v", err)
		}
		if shown := fmt.Sprintf("%v %+v %#v", keys, keys, keys); strings.Contains(shown, own) {
			t.Errorf("the identity is printed: %s", shown)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	own, recipient := identity(t, false)
	hybrid, _ := identity(t, true)
	for text, want := range map[string]string{
		"":                            "no line is an identity",
		"# only a comment\n":          "no line is an identity",
		own + "\n" + own[:40]:         "line 2 is an identity with a mistake in it",
		hybrid[:40]:                   "line 1 is an identity with a mistake in it",
		"#\n" + recipient:             "line 2 is a recipient, which encrypts and cannot decrypt",
		"AGE-PLUGIN-YUBIKEY-1XYZ":     "line 1 is an identity of a plugin",
		"age-encryption.org/v1\n-> x": "line 1 begins an encrypted file, which needs a passphrase",
		"-----BEGIN AGE ENCRYPTED FILE-----\nabc":  "line 1 begins an encrypted file, which needs a passphrase",
		"-----BEGIN OPENSSH PRIVATE KEY-----\nabc": "line 1 begins a key of SSH or TLS",
		"-----BEGIN RSA PRIVATE KEY-----\nabc":     "line 1 begins a key of SSH or TLS",
		"ssh-ed25519 AAAA":                         "line 1 begins a key of SSH or TLS",
		strings.ToLower(own):                       "line 1 is not an identity",
		"canary":                                   "line 1 is not an identity",
	} {
		if _, err := agekey.Parse(text); err == nil || err.Error() != want {
			t.Errorf("%.30q: %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		own:                  "is an identity, which is secret, and not a recipient",
		recipient[:40]:       "is a recipient with a mistake in it, or of a plugin",
		"age1yubikey1qwt50d": "is a recipient with a mistake in it, or of a plugin",
		"age1pq1qwt50d":      "is a recipient with a mistake in it, or of a plugin",
		"ssh-ed25519 AAAA":   "is not a recipient",
		"":                   "is not a recipient",
	} {
		if _, err := agekey.ParseRecipient(text); err == nil || err.Error() != want {
			t.Errorf("%.30q: %v, want %s", text, err, want)
		}
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	_, short := identity(t, false)
	_, long := identity(t, true)
	if agekey.Short(short) != short || len(agekey.Short(long)) > 40 || !strings.HasPrefix(long, strings.TrimSuffix(agekey.Short(long), "…")) {
		t.Errorf("%s, %s", agekey.Short(short), agekey.Short(long))
	}
}

// FuzzParse tests that what is read as identities decrypts, and that errors hold no part of
// the text.
func FuzzParse(f *testing.F) {
	f.Add("# comment\nAGE-SECRET-KEY-" + "1EXKVR5X6ZLJFNQHA8ZZ4LLJD89694XP788P5DU3XZVGUS5RKF64Q6RZJ5L\n")
	f.Add("AGE-SECRET-KEY-PQ-" + "1AKCWXRM2DD65D45LX25RA6VSZAWA78JUCTH35FL3MLJG0YEUZ86Q4YU3VD")
	f.Add("age1km657wkmye9ukypv24y5a3uuk33yn50g6f86maskw0365ejmn3ksc6h77f")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := agekey.Parse(text)
		if err != nil {
			if !keys.IsZero() {
				t.Error("keys beside an error")
			}
			return
		}
		encrypted, err := keys.Recipient().Encrypt([]byte("token"))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := keys.Decrypt(encrypted); err != nil || string(plain) != "token" {
			t.Errorf("%q, %v", plain, err)
		}
	})
}
