package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// A fileOf is the fs.FileInfo of a file with an owner and a mode.
type fileOf struct {
	uid  uint32
	mode fs.FileMode
}

func (f fileOf) Name() string       { return "state" }
func (f fileOf) Size() int64        { return 0 }
func (f fileOf) Mode() fs.FileMode  { return f.mode }
func (f fileOf) ModTime() time.Time { return time.Time{} }
func (f fileOf) IsDir() bool        { return f.mode.IsDir() }
func (f fileOf) Sys() any           { return &syscall.Stat_t{Uid: f.uid} }

func TestOwners(t *testing.T) {
	t.Parallel()
	const (
		path = "/srv/state"
		dir  = fs.ModeDir
		link = fs.ModeSymlink | 0o777
	)
	for name, x := range map[string]struct {
		check      func(path string, info fs.FileInfo, uid int) error
		file       fileOf
		uid        int
		want, hint string
	}{
		"own directory":               {exclusive, fileOf{1000, dir | 0o700}, 1000, "", ""},
		"own directory, readable":     {exclusive, fileOf{0, dir | 0o755}, 0, "", ""},
		"own directory, group writes": {exclusive, fileOf{1000, dir | 0o775}, 1000, "can be written to by others (mode 0775)", "chmod 700 /srv/state; otherwise"},
		"own directory, all write":    {exclusive, fileOf{0, dir | 0o777}, 0, "can be written to by others (mode 0777)", "chmod 700 /srv/state; otherwise"},
		"root's /tmp, as root":        {exclusive, fileOf{0, dir | fs.ModeSticky | 0o777}, 0, "can be written to by others (mode 0777)", "name a directory that user 0 owns"},
		"root's /tmp":                 {exclusive, fileOf{0, dir | fs.ModeSticky | 0o777}, 1000, "belongs to user 0, and this process is user 1000", "name a directory that user 1000 owns"},
		"another's directory":         {exclusive, fileOf{1000, dir | 0o700}, 1001, "belongs to user 1000, and this process is user 1001", "chown 1001 /srv/state; otherwise"},
		"another's directory, root":   {exclusive, fileOf{1000, dir | 0o755}, 0, "belongs to user 1000, and this process is user 0", "chown 0 /srv/state; otherwise"},
		"root's directory":            {exclusive, fileOf{0, dir | 0o755}, 1000, "belongs to user 0, and this process is user 1000", "chown 1000 /srv/state; otherwise"},
		"a pod's volume":              {exclusive, fileOf{0, dir | fs.ModeSetgid | 0o775}, 65532, "belongs to user 0, and this process is user 65532", "on a Kubernetes volume, name a subdirectory"},

		"own record":                 {private, fileOf{1000, 0o600}, 1000, "", ""},
		"root's own record":          {private, fileOf{0, 0o600}, 0, "", ""},
		"own record, readable":       {private, fileOf{0, 0o640}, 0, "can be read or changed by others", "chmod 600 /srv/state"},
		"another's record":           {private, fileOf{1000, 0o600}, 1001, "belongs to user 1000, and this process is user 1001", "chown 1001 /srv/state"},
		"another's record, for root": {private, fileOf{1000, 0o600}, 0, "belongs to user 1000, and this process is user 0", "move it away"},
		"a record that is a pipe":    {private, fileOf{1000, fs.ModeNamedPipe | 0o600}, 1000, "not a regular file", "move it away"},

		"own lock":                 {ownLock, fileOf{1000, 0}, 1000, "", ""},
		"another's lock":           {ownLock, fileOf{1000, 0o600}, 1001, "belongs to user 1000, and this process is user 1001", "rm /srv/state"},
		"another's lock, for root": {ownLock, fileOf{1000, 0o600}, 0, "belongs to user 1000, and this process is user 0", "rm /srv/state"},
		"a lock that is a pipe":    {ownLock, fileOf{1000, fs.ModeNamedPipe | 0o600}, 1000, "not a regular file", "move it away"},

		"no link":                  {trustedLink, fileOf{1000, dir | 0o700}, 1001, "", ""},
		"own link":                 {trustedLink, fileOf{1000, link}, 1000, "", ""},
		"root's link":              {trustedLink, fileOf{0, link}, 1000, "", ""},
		"another's link":           {trustedLink, fileOf{1000, link}, 1001, "symbolic link that belongs to user 1000", "name the directory itself"},
		"another's link, for root": {trustedLink, fileOf{1000, link}, 0, "symbolic link that belongs to user 1000", "name the directory itself"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := x.check(path, x.file, x.uid)
			if x.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			requirePlain(t, err, path, x.want, x.hint)
			requireNoPathBelow(t, err, path)
		})
	}
}

// requireNoPathBelow requires that the error's hint names no path below a directory in which
// another user may have created files.
func requireNoPathBelow(t *testing.T, err error, path string) {
	t.Helper()
	if strings.Contains(hint.Of(err), path+"/") {
		t.Errorf("the hint %q names a path below %s", hint.Of(err), path)
	}
}

// anothersDir returns a directory of another user, with that user's id. Only root can create
// one; for other users it returns one of root's.
func anothersDir(t *testing.T) (path string, uid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		return "/", 0
	}
	path = t.TempDir()
	chown(t, path)
	return path, anotherUser
}

const anotherUser = 65532

func chown(t *testing.T, path string) {
	t.Helper()
	if err := os.Lchown(path, anotherUser, anotherUser); err != nil {
		t.Fatal(err)
	}
}

func TestAnothersDirectory(t *testing.T) {
	t.Parallel()
	path, owner := anothersDir(t)
	before := names(t, path)
	d, err := Open(path)
	if err == nil {
		d.Close()
	}
	want := fmt.Sprintf("belongs to user %d, and this process is user %d", owner, os.Geteuid())
	requirePlain(t, err, path, want, "chown ")
	if after := names(t, path); after != before {
		t.Errorf("files after: %s\nbefore: %s", after, before)
	}
}

// TestDirectoryReplacedByASharedOne tests that a user who can write to a parent and replaces
// the directory gets no record in it.
func TestDirectoryReplacedByASharedOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	f := d.Account("park")
	version := storetest.MustSwap(t, f, "", storetest.Record(1))
	err = errors.Join(os.Rename(path, path+".away"), os.Mkdir(path, 0o700), os.Chmod(path, 0o777))
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []tokens.Version{"", version, damagedVersion} {
		_, err := f.Swap(t.Context(), old, storetest.Record(2))
		requirePlain(t, err, path, "can be written to by others", "")
	}
	_, _, err = f.Load(t.Context())
	requirePlain(t, err, path, "can be written to by others", "")
	if !errors.Is(err, tokens.ErrDamaged) {
		t.Errorf("Load: %v, want ErrDamaged", err)
	}
	if got := names(t, path); got != "" {
		t.Errorf("files in the other directory: %s", got)
	}
	if err := errors.Join(os.Remove(path), os.Rename(path+".away", path)); err != nil {
		t.Fatal(err)
	}
	storetest.MustSwap(t, f, version, storetest.Record(2))
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestAnothersFiles needs root, because only root can change the owner of a file. TestOwners
// tests the rules for all users.
func TestAnothersFiles(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	for name, x := range map[string]struct{ file, hint string }{
		"record": {"park.json", "move it away"},
		"lock":   {"park.lock", "rm "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openTest(t, t.TempDir())
			f := d.Account("park")
			version := storetest.MustSwap(t, f, "", storetest.Record(1))
			path := d.disk.join(x.file)
			chown(t, path)
			_, err := f.Swap(t.Context(), version, storetest.Record(2))
			requirePlain(t, err, path, "belongs to user 65532, and this process is user 0", x.hint)
			if err := os.Lchown(path, 0, 0); err != nil {
				t.Fatal(err)
			}
			if got := storetest.MustLoad(t, f); got.Version != version {
				t.Errorf("generation %d was written", got.Record.Generation)
			}
			storetest.MustSwap(t, f, version, storetest.Record(2))
		})
	}
	t.Run("link to the directory", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(t.TempDir(), path); err != nil {
			t.Fatal(err)
		}
		d, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
		chown(t, path)
		_, err = Open(path)
		requirePlain(t, err, path, "symbolic link that belongs to user 65532", "name the directory itself")
	})
}

func TestLinkedLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := openTest(t, t.TempDir())
		f := d.Account("park")
		target := filepath.Join(t.TempDir(), "target")
		path := d.disk.join("park.lock")
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := f.Swap(ctx, "", storetest.Record(1))
		requirePlain(t, err, path, "is a symbolic link", "rm "+path)
		if _, err := os.Lstat(target); !os.IsNotExist(err) {
			t.Errorf("the link was followed: %v", err)
		}
	})
}
