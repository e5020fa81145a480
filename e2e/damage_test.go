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
				v := newVictim(t, account)
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
				v.mustGoOn()
			})
		}
	}
}

// TestDamagedStateAtTheEnd: what cannot be put back is said to be lost, with
// the cure, and the exit code says so too.
func TestDamagedStateAtTheEnd(t *testing.T) {
	t.Parallel()
	v := newVictim(t, "openticket")
	if err := errors.Join(os.RemoveAll(v.dir), os.Mkdir(v.dir, 0o700), os.Chmod(v.dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	await(t, 10*time.Second, "the account is unsaved", func() bool { return v.proxy.status("openticket").State == "unsaved" })
	if ready, why := v.proxy.ready(); ready || !strings.Contains(why, "hint: name a subdirectory") {
		t.Errorf("ready %t: %s", ready, why)
	}
	v.proxy.mustServe("openticket")
	if code := v.proxy.terminate(time.Minute); code != 1 {
		t.Errorf("exit code %d with the only refresh token in memory, want 1", code)
	}
	if said := v.proxy.stderr.String(); !strings.Contains(said, "could not be stored and is lost") {
		t.Error("the program does not say that a token is lost")
	}

	v = newVictim(t, "openticket")
	if err := os.WriteFile(v.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	v.mustGoOn() // damaged a moment before the end
}

// A victim is a program with one account and a token that lives for long.
type victim struct {
	*testing.T
	dir, path, account string
	provider           *provider
	proxy              *proxy
}

func newVictim(t *testing.T, account string) *victim {
	v := &victim{T: t, dir: filepath.Join(t.TempDir(), "state"), account: account}
	v.path = filepath.Join(v.dir, account+".json")
	v.provider = startSandbox(t, time.Hour)[account]
	v.proxy = newProxy(t, v.dir, map[string]*provider{account: v.provider}, "TICKETPROXY_DRAIN_TIMEOUT=3s")
	v.proxy.start()
	v.proxy.awaitUsable(account, 30*time.Second)
	return v
}

// mustGoOn ends the program, and sees the next one go on from the state.
func (v *victim) mustGoOn() {
	v.Helper()
	if code := v.proxy.terminate(30 * time.Second); code != 0 {
		v.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	v.proxy.start()
	v.proxy.awaitUsable(v.account, 30*time.Second)
	v.proxy.mustServe(v.account)
	if c := v.provider.counters(); c.Redemptions != 1 {
		v.Errorf("%d redemptions, want the first alone", c.Redemptions)
	}
}
