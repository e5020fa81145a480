package e2e

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Two identities as age-keygen writes them, and their recipients. In one piece, scanners take an
// identity for a secret.
const (
	firstIdentity   = "AGE-SECRET-KEY-" + "1EXKVR5X6ZLJFNQHA8ZZ4LLJD89694XP788P5DU3XZVGUS5RKF64Q6RZJ5L"
	firstRecipient  = "age1km657wkmye9ukypv24y5a3uuk33yn50g6f86maskw0365ejmn3ksc6h77f"
	secondIdentity  = "AGE-SECRET-KEY-" + "1Y4YLCNKF3LWZ77Q6URMD3ZEWYVCWSPUP4G282ZM3X8GHSJZ57APQYPWFA5"
	secondRecipient = "age1vu4ulx4zanclcr553a08mqf0cg8pls2kz4g5u0slvzlkjcegssxs8hkycs"
)

// TestEncryptedState changes the key of the state while the program refreshes.
func TestEncryptedState(t *testing.T) {
	t.Parallel()
	keys := filepath.Join(t.TempDir(), "keys")
	write := func(identities ...string) {
		t.Helper()
		if err := os.WriteFile(keys+".new", []byte("# created: today\n"+strings.Join(identities, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(keys+".new", keys); err != nil {
			t.Fatal(err)
		}
	}
	write(firstIdentity)
	s := newRefreshFixture(t, func(*exec.Cmd) {}, "TICKETPROXY_STATE_KEY_FILE="+keys)
	s.mustBeEncrypted(firstRecipient)

	write(secondIdentity, firstIdentity)
	s.startRefresh()
	rekey := exec.Command(binary, "rekey")
	rekey.Env = s.environ()
	out, err := rekey.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ok    account "+s.account+": generation 2, encrypted to "+secondRecipient) {
		t.Errorf("rekey during a refresh: %v\n%s", err, out)
	}
	s.mustAnswer()
	s.mustBeEncrypted(secondRecipient)
	write(secondIdentity)
	s.mustServe(s.account)
	if code := s.terminate(30 * time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	s.mustHaveStored()
	s.mustBeEncrypted(secondRecipient)
}

// mustBeEncrypted checks that the record names the recipient, and has age files in place of
// tokens.
func (s *refreshFixture) mustBeEncrypted(recipient string) {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, s.account+".json"))
	if err != nil {
		s.t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(data, &r); err != nil {
		s.t.Fatal(err)
	}
	if r["recipient"] != recipient {
		s.t.Errorf("the record is encrypted to %v, want %s", r["recipient"], recipient)
	}
	tokens := 0
	for name, value := range r {
		text, ok := value.(string)
		if !ok || !strings.HasSuffix(name, "_token") {
			continue
		}
		tokens++
		file, err := base64.StdEncoding.DecodeString(text)
		if err != nil || !strings.HasPrefix(string(file), "age-encryption.org/v1\n-> X25519 ") {
			s.t.Errorf("%s is not an age file in base64", name)
		}
	}
	if tokens < 2 {
		s.t.Errorf("the record has %d tokens", tokens)
	}
}
