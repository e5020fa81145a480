package file

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

var (
	_ tokens.Presence = (*File)(nil)
	_ tokens.Store    = (*File)(nil)
)

func TestKilledHolderIsGone(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	f := openTest(t, path).Account("park")
	c := startChild(t, "stay", path)
	holder := c.line(t)
	next := storetest.Record(1)
	next.Intent = intentOf(holder)
	storetest.MustSwap(t, f, "", next)
	if f.Gone(holder) {
		t.Error("Gone is true for a running process")
	}
	c.kill(t)
	// Gone stays true: also while another process checks, and in a process that starts
	// later.
	lock, err := f.presence.disk.takeLock(holderFile(holder), 0, unix.LOCK_SH) // as Gone does
	if err != nil {
		t.Fatal(err)
	}
	if !f.Gone(holder) {
		t.Error("Gone is false for a killed process while another process checks")
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if later := openTest(t, path); !later.Account("shop").Gone(holder) {
		t.Error("Gone is false for a killed process in a process that starts later")
	}
}

func TestStoppedHolderIsNotGone(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	f := openTest(t, path).Account("park")
	c := startChild(t, "stay", path)
	holder := c.line(t)
	if err := c.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(c.Process.Pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("waiting for the child to stop: %v, status %v", err, status)
	}
	if f.Gone(holder) {
		t.Error("Gone is true for a stopped process")
	}
	c.kill(t)
	if !f.Gone(holder) {
		t.Error("Gone is false for a killed process")
	}
}

func TestGoneIsFalseWhenUnknown(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openTest(t, path)
	f := d.Account("park")
	unlocked := func(id string) string {
		if err := putFile(nil, 0o600)(d.disk.join(holderFile(id))); err != nil {
			t.Fatal(err)
		}
		return id
	}
	linked := newHolder(bootID())
	if err := os.Symlink(unlocked(newHolder(bootID())), d.disk.join(holderFile(linked))); err != nil {
		t.Fatal(err)
	}
	for name, holder := range map[string]string{
		"own holder":           d.Holder(),
		"same process":         openTest(t, path).Holder(),
		"unknown holder":       newHolder(bootID()),
		"of another kernel":    unlocked(newHolder("another boot")),
		"of an unknown kernel": unlocked(newHolder("")),
		"empty":                "",
		"a path":               "../" + d.Holder(),
		"too long":             unlocked(d.Holder() + "0"),
		"upper case":           strings.ToUpper(newHolder(bootID())),
		"a link":               linked,
	} {
		if f.Gone(holder) {
			t.Errorf("%s: Gone is true", name)
		}
	}
	if holder := unlocked(newHolder(bootID())); !f.Gone(holder) {
		t.Error("Gone is false for a holder that released its lock")
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	f := openTest(t, path).Account("park")
	quiet, busy := openTest(t, path), openTest(t, path)
	next := storetest.Record(1)
	next.Intent = intentOf(busy.Holder())
	storetest.MustSwap(t, f, "", next)
	noForks(t)
	for _, d := range []*Dir{quiet, busy, quiet} {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(quiet.disk.join(holderFile(quiet.Holder()))); !os.IsNotExist(err) {
		t.Errorf("Close left the lock file: %v", err)
	}
	if !f.Gone(busy.Holder()) {
		t.Error("Gone is false for a closed holder with an intent in the record")
	}
}

// TestConcurrentOpenAndClose tests that a process that tidies does not remove the lock file of
// a process that takes its lock at the same time.
func TestConcurrentOpenAndClose(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 10 {
				d, err := Open(path)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := os.Lstat(d.disk.join(holderFile(d.Holder()))); err != nil {
					t.Errorf("lock file of a running process: %v", err)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got := names(t, path); got != "" {
		t.Errorf("files left: %s", got)
	}
}

func intentOf(holder string) *tokens.Intent {
	return &tokens.Intent{ID: "intent", Holder: holder, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Try: 1}
}

// TestHolderOfAnUnknownBoot tests that a holder's id is valid where the kernel does not say
// which boot this is.
func TestHolderOfAnUnknownBoot(t *testing.T) {
	t.Parallel()
	first, second := newHolder(""), newHolder("")
	if !validHolder(first) || !validHolder(second) || first[:kernelDigits] == second[:kernelDigits] {
		t.Errorf("holders %s and %s", first, second)
	}
}
