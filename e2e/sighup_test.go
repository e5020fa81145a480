package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSIGHUPReloadsFiles sends SIGHUP while no terminal has closed. The program
// reads the files again: a new client secret repairs an account that the issuer
// refused, and the status reports an invalid file.
func TestSIGHUPReloadsFiles(t *testing.T) {
	t.Parallel()
	const account = "ticketpark"
	issuer := startSandbox(t, 8*time.Second)[account]
	file, secret := filepath.Join(t.TempDir(), "secret"), ""
	for i, setting := range issuer.settings {
		if value, ok := strings.CutPrefix(setting, "CLIENT_SECRET="); ok {
			secret, issuer.settings[i] = value, "CLIENT_SECRET_FILE="+file
		}
	}
	p := newProxy(t, filepath.Join(t.TempDir(), "state"), map[string]*provider{account: issuer})
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("not-the-right-one")
	p.start()
	await(t, 10*time.Second, "the issuer refuses the client", func() bool {
		return strings.Contains(p.status(account).Error, "invalid_client")
	})
	write("two\nlines")
	p.signal(syscall.SIGHUP)
	await(t, 10*time.Second, "/readyz reports the invalid file", func() bool {
		_, why := p.ready()
		return strings.Contains(why, "files could not be used as they were read again at") && !strings.Contains(why, "two")
	})
	write(secret)
	p.signal(syscall.SIGHUP)
	p.awaitUsable(account, 10*time.Second)
	if _, why := p.ready(); strings.Contains(why, "warning") {
		t.Errorf("/readyz still has a warning: %q", why)
	}
	p.mustServe(account)
	if code := p.terminate(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
