package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDamagedState damages the state of a running program. The program must store
// its record again, and a restart must use it.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	write := func(data string, mode os.FileMode) func(dir, path string) error {
		return func(_, path string) error {
			return errors.Join(os.WriteFile(path, []byte(data), mode), os.Chmod(path, mode))
		}
	}
	link := func(path string) error { return os.Symlink("nowhere", path) }
	for name, damage := range map[string]func(dir, path string) error{
		"emptied":              write("", 0o600),
		"garbage":              write("{\"format\":1,\"gen", 0o600),
		"readable by others":   func(_, path string) error { return os.Chmod(path, 0o644) },
		"removed":              func(_, path string) error { return os.Remove(path) },
		"symbolic link":        func(_, path string) error { return replace(path, link) },
		"directory removed":    func(dir, _ string) error { return remove(dir) },
		"directory replaced":   func(dir, _ string) error { return replace(dir, emptyDirectory(0o700)) },
		"directory moved away": func(dir, _ string) error { return os.Rename(dir, dir+".away") },
	} {
		for _, account := range []string{"openticket", "socialboards", "ticketpark"} {
			t.Run(name+"/"+account, func(t *testing.T) {
				t.Parallel()
				v := newDamageFixture(t, account)
				if err := damage(v.dir, v.path); err != nil {
					t.Fatal(err)
				}
				await(t, 10*time.Second, "the record is stored again", func() bool {
					info, err := os.Lstat(v.path)
					return err == nil && info.Mode() == 0o600 && info.Size() > 100
				})
				if r := readRecord(t, v.dir, account); r.Generation != 1 {
					t.Errorf("generation %d was stored again, want 1", r.Generation)
				}
				v.proxy.mustServe(account)
				v.mustRestart()
			})
		}
	}
}

// TestStateLostDuringRefresh deletes the state while a refresh token is being spent.
// Then only the program holds the new refresh token.
func TestStateLostDuringRefresh(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(dir, path string) error{
		"removed":           func(_, path string) error { return os.Remove(path) },
		"emptied":           func(_, path string) error { return os.WriteFile(path, nil, 0o600) },
		"directory removed": func(dir, _ string) error { return remove(dir) },
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
				t.Error("stderr does not say that the state was lost")
			}
		})
	}
}

// TestLateTokenResponse has the issuer redeem the refresh token and answer many
// seconds later. The program must wait for the answer, also during shutdown.
func TestLateTokenResponse(t *testing.T) {
	t.Parallel()
	for _, end := range []bool{false, true} {
		v := newDamageFixture(t, "openticket")
		v.refreshWhile(14*time.Second, func() {})
		v.redemptions = 2
		if !end {
			await(t, 30*time.Second, "the token response arrives", func() bool {
				return v.proxy.status(v.account).Generation == 2
			})
		}
		v.mustRestart()
	}
}

// TestStateDirectoryIsFile replaces the state directory by a file.
func TestStateDirectoryIsFile(t *testing.T) {
	t.Parallel()
	v := newDamageFixture(t, "openticket")
	if err := replace(v.dir, func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }); err != nil {
		t.Fatal(err)
	}
	await(t, 10*time.Second, "the account is unsaved", func() bool {
		return v.proxy.status("openticket").State == "unsaved"
	})
	if code := v.proxy.terminate(time.Minute); code != 1 {
		t.Errorf("exit code %d with the only refresh token in memory, want 1", code)
	}
}

// TestDamagedStateAtShutdown damages the state so that the program cannot store its
// record again. The program must say so with a hint, and must exit with code 1. Damage
// that it can repair must not change the exit code.
func TestDamagedStateAtShutdown(t *testing.T) {
	t.Parallel()
	v := newDamageFixture(t, "openticket")
	if err := replace(v.dir, emptyDirectory(0o777)); err != nil {
		t.Fatal(err)
	}
	await(t, 10*time.Second, "the account is unsaved", func() bool {
		return v.proxy.status("openticket").State == "unsaved"
	})
	hint := "hint: if it is for ticketproxy alone, chmod 700 " + v.dir
	if ready, why := v.proxy.ready(); ready || !strings.Contains(why, hint) {
		t.Errorf("ready %t: %s", ready, why)
	}
	v.proxy.mustServe("openticket")
	if code := v.proxy.terminate(time.Minute); code != 1 {
		t.Errorf("exit code %d with the only refresh token in memory, want 1", code)
	}
	if output := v.proxy.stderr.String(); !strings.Contains(output, "could not be stored and is lost") {
		t.Error("stderr does not say that a token is lost")
	}

	v = newDamageFixture(t, "openticket")
	if err := os.WriteFile(v.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	v.mustRestart() // the shutdown repairs the damage
}

// replace puts what create makes in the place of a file or directory, and removes that, in
// one step for the program. Between two steps, the program might put its record back.
func replace(path string, create func(path string) error) error {
	old := path + ".old"
	if err := create(old); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, old, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("exchanging %s and %s: %w", old, path, err)
	}
	return os.RemoveAll(old)
}

// remove removes a directory in one step for the program.
func remove(dir string) error {
	if err := os.Rename(dir, dir+".old"); err != nil {
		return err
	}
	return os.RemoveAll(dir + ".old")
}

func emptyDirectory(mode os.FileMode) func(path string) error {
	return func(path string) error { return errors.Join(os.Mkdir(path, mode), os.Chmod(path, mode)) }
}

// A damageFixture is a program with one account and a long-lived access token.
type damageFixture struct {
	*testing.T
	dir, path, account string
	provider           *provider
	proxy              *proxy
	redemptions        int // expected number
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

// mustRestart restarts the program and checks that it uses the stored state.
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

// refreshWhile makes the API refuse the access token, and calls do between the
// issuer's commit and its late answer.
func (v *damageFixture) refreshWhile(late time.Duration, do func()) {
	v.Helper()
	v.provider.slow(0, late)
	v.provider.revoke()
	before := v.provider.counters().Redemptions
	go v.proxy.request(v.account)
	await(v.T, 20*time.Second, "the issuer redeems a refresh token", func() bool {
		return v.provider.counters().Redemptions > before
	})
	do()
	v.provider.slow(0, 0)
}
