package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"ticketproxy/tokens/store/storetest"
)

func TestLockHeldUntilTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := openTest(t, t.TempDir())
		f := d.Account("park")
		version := storetest.MustSwap(t, f, "", storetest.Record(1))
		lock, err := d.disk.lock("park.lock")
		if err != nil {
			t.Fatal(err)
		}
		before := names(t, d.disk.path)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = f.Swap(ctx, version, storetest.Record(2))
		requirePlain(t, err, f.path(), "locked by another process", "fuser ")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want context.DeadlineExceeded", err)
		}
		if got := storetest.MustLoad(t, f); got.Version != version {
			t.Errorf("generation %d was written without the lock", got.Record.Generation)
		}
		if after := names(t, d.disk.path); after != before {
			t.Errorf("files after: %s\nbefore: %s", after, before)
		}
		if err := lock.Close(); err != nil {
			t.Fatal(err)
		}
		storetest.MustSwap(t, f, version, storetest.Record(2))
	})
}

func TestLockOfAKilledProcess(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	f := openTest(t, path).Account("park")
	c := startChild(t, "lock", path)
	if got := c.line(t); got != "locked" {
		t.Fatal(got)
	}
	if _, err := f.disk.lock("park.lock"); !errors.Is(err, errLocked) {
		t.Fatalf("lock while the child has it: %v, want errLocked", err)
	}
	c.kill(t)
	storetest.MustSwap(t, f, "", storetest.Record(1))
}

// TestLockFileRemoved tests that locking a removed file fails: another process would lock
// the new file of that name.
func TestLockFileRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "park.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := lockOpen(f, path, unix.LOCK_EX); !errors.Is(err, errLocked) {
		t.Errorf("locking a removed file: %v, want errLocked", err)
	}
	if err := putFile(nil, 0o600)(path); err != nil {
		t.Fatal(err)
	}
	if err := lockOpen(f, path, unix.LOCK_EX); !errors.Is(err, errLocked) {
		t.Errorf("locking a replaced file: %v, want errLocked", err)
	}
}

// TestKilledWriter tests that a record for which Swap returned nil survives kill -9, and
// that the next process can replace it.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openTest(t, path)
	f := d.Account("park")
	storetest.MustSwap(t, f, "", storetest.Record(0))
	c := startChild(t, "write", path)
	var last uint64
	for range 10 {
		var err error
		if last, err = strconv.ParseUint(c.line(t), 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	c.kill(t)
	got := storetest.MustLoad(t, f)
	if got.Record.Generation < last {
		t.Errorf("generation %d, but Swap of %d had succeeded in the killed process", got.Record.Generation, last)
	}
	storetest.MustSwap(t, f, got.Version, storetest.Record(got.Record.Generation+1))
	openTest(t, path)
	if got := names(t, path); strings.Contains(got, ".tmp") {
		t.Errorf("files left: %s", got)
	}
}

func TestNoSpaceToWrite(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	f := openTest(t, path).Account("park")
	version := storetest.MustSwap(t, f, "", storetest.Record(1))
	c := startChild(t, "fill", path)
	if got := c.line(t); !strings.Contains(got, unix.EFBIG.Error()) {
		t.Errorf("Swap with too little space: %s, want %q", got, unix.EFBIG.Error())
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := storetest.MustLoad(t, f); got.Version != version {
		t.Errorf("version %q, want %q still", got.Version, version)
	}
	if got := names(t, path); strings.Contains(got, ".tmp") {
		t.Errorf("files left: %s", got)
	}
}

// TestProbeOfALinkedLock tests that a probe tells of a record's lock that nobody can take,
// and that it is content with one that another process has.
func TestProbeOfALinkedLock(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	held, err := d.disk.lock("park.lock")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := d.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(path, "shop.lock")
	if err := os.Symlink(filepath.Join(path, "park.lock"), link); err != nil {
		t.Fatal(err)
	}
	requirePlain(t, d.Probe(t.Context()), path, link+" is a symbolic link", "rm "+link)
}
