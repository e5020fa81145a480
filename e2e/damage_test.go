package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDamagedState takes the state from a running program: it puts back what
// it holds, and a restart goes on from there.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	write := func(data string, mode os.FileMode) func(dir, path string) error {
		return func(_, path string) error {
			return errors.Join(os.WriteFile(path, []byte(data), mode), os.Chmod(path, mode))
		}
	}
	for name, damage := range map[string]func(dir, path string) error{
		"emptied":              write("", 0o600),
		"garbage":              write("{\"format\":1,\"gen", 0o600),
		"readable by others":   func(_, path string) error { return os.Chmod(path, 0o644) },
		"removed":              func(_, path string) error { return os.Remove(path) },
		"a link":               func(_, path string) error { return errors.Join(os.Remove(path), os.Symlink("nowhere", path)) },
		"directory removed":    func(dir, _ string) error { return os.RemoveAll(dir) },
		"directory made anew":  func(dir, _ string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)) },
		"directory moved away": func(dir, _ string) error { return os.Rename(dir, dir+".away") },
	} {
		for _, account := range []string{"openticket", "socialboards", "ticketpark"} {
			t.Run(name+"/"+account, func(t *testing.T) {
				t.Parallel()
				v := newDamageFixture(t, account)
				if err := damage(v.dir, v.path); err != nil {
					t.Fatal(err)
				}
				await(t, 10*time.Second, "the record is there again", func() bool {
					info, err := os.Lstat(v.path)
					return err == nil && info.Mode() == 0o600 && info.Size() > 100
				})
				if r := readRecord(t, v.dir, account); r.Generation != 1 {
					t.Errorf("generation %d was put back, want 1", r.Generation)
				}
				v.proxy.mustServe(account)
				v.mustRestart()
			})
		}
	}
}

// TestStateLostDuringRefresh: the state goes while a refresh token is spent,
// of which the program alone has the successor then.
func TestStateLostDuringRefresh(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(dir, path string) error{
		"removed":           func(_, path string) error { return os.Remove(path) },
		"emptied":           func(_, path string) error { return os.WriteFile(path, nil, 0o600) },
		"directory removed": func(dir, _ string) error { return os.RemoveAll(dir) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newDamageFixture(t, "openticket")
			v.refreshWhile(time.Second, func() {
				if err := lose(v.dir, v.path); err != nil {
					t.Fatal(err)
				}
			})
			await(t, 20*time.Second, "the new record is stored", func() bool {
				data, err := os.ReadFile(v.path)
				return err == nil && len(data) > 100 && readRecord(t, v.dir, v.account).Generation == 2
			})
			v.redemptions = 2
			v.mustRestart()
			if output := v.proxy.stderr.String(); !strings.Contains(output, "state has lost the record") {
				t.Error("the program does not say that the state was lost")
			}
		})
	}
}

// TestLateTokenResponse: an issuer that has taken the token and answers after many
// seconds is waited for, also by a program that is told to end.
func TestLateTokenResponse(t *testing.T) {
	t.Parallel()
	for _, end := range []bool{false, true} {
		v := newDamageFixture(t, "openticket")
		v.refreshWhile(14*time.Second, func() {})
		v.redemptions = 2
		if !end {
			await(t, 30*time.Second, "the answer has come", func() bool { return v.proxy.status(v.account).Generation == 2 })
		}
		v.mustRestart()
	}
}

// TestStateDirectoryIsFile: a record cannot be stored below a file.
func TestStateDirectoryIsFile(t *testing.T) {
	t.Parallel()
	v := newDamageFixture(t, "openticket")
	if err := errors.Join(os.RemoveAll(v.dir), os.WriteFile(v.dir, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	await(t, 10*time.Second, "the account is unsaved", func() bool { return v.proxy.status("openticket").State == "unsaved" })
	if code := v.proxy.terminate(time.Minute); code != 1 {
		t.Errorf("exit code %d with the only refresh token in memory, want 1", code)
	}
}

// TestDamagedStateAtShutdown: what cannot be put back is said to be lost, with
// the cure, and the exit code says so too.
func TestDamagedStateAtShutdown(t *testing.T) {
	t.Parallel()
	v := newDamageFixture(t, "openticket")
	if err := errors.Join(os.RemoveAll(v.dir), os.Mkdir(v.dir, 0o700), os.Chmod(v.dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	await(t, 10*time.Second, "the account is unsaved", func() bool { return v.proxy.status("openticket").State == "unsaved" })
	if ready, why := v.proxy.ready(); ready || !strings.Contains(why, "hint: if it is for ticketproxy alone, chmod 700 "+v.dir) {
		t.Errorf("ready %t: %s", ready, why)
	}
	v.proxy.mustServe("openticket")
	if code := v.proxy.terminate(time.Minute); code != 1 {
		t.Errorf("exit code %d with the only refresh token in memory, want 1", code)
	}
	if output := v.proxy.stderr.String(); !strings.Contains(output, "could not be stored and is lost") {
		t.Error("the program does not say that a token is lost")
	}

	v = newDamageFixture(t, "openticket")
	if err := os.WriteFile(v.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	v.mustRestart() // damaged a moment before the end
}

// A damageFixture is a program with one account and a token that lives for long.
type damageFixture struct {
	*testing.T
	dir, path, account string
	provider           *provider
	proxy              *proxy
	redemptions        int // that there should have been
}

func newDamageFixture(t *testing.T, account string) *damageFixture {
	v := &damageFixture{T: t, dir: filepath.Join(t.TempDir(), "state"), account: account, redemptions: 1}
	v.path = filepath.Join(v.dir, account+".json")
	v.provider = startSandbox(t, time.Hour)[account]
	v.proxy = newProxy(t, v.dir, map[string]*provider{account: v.provider}, "TICKETPROXY_DRAIN_TIMEOUT=20s")
	v.proxy.start()
	v.proxy.awaitUsable(account, 30*time.Second)
	return v
}

// mustRestart ends the program, and sees the next one go on from the state.
func (v *damageFixture) mustRestart() {
	v.Helper()
	if code := v.proxy.terminate(30 * time.Second); code != 0 {
		v.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	v.proxy.start()
	v.proxy.awaitUsable(v.account, 30*time.Second)
	v.proxy.mustServe(v.account)
	if c := v.provider.counters(); c.Redemptions != v.redemptions {
		v.Errorf("%d redemptions, want %d", c.Redemptions, v.redemptions)
	}
}

// refreshWhile makes the API refuse the access token, and does something
// between the issuer's commit and its late answer.
func (v *damageFixture) refreshWhile(late time.Duration, do func()) {
	v.Helper()
	v.provider.slow(0, late)
	v.provider.revoke()
	before := v.provider.counters().Redemptions
	go v.proxy.request(v.account)
	await(v.T, 20*time.Second, "a refresh token is spent", func() bool { return v.provider.counters().Redemptions > before })
	do()
	v.provider.slow(0, 0)
}
