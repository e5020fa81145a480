package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"ticketproxy/tokens"
)

// A disk is the directory in which a File lives, reduced to what a File does
// to it: the seam at which the tests put a disk that forgets what was not
// synced. Names are those of files in that one directory. The error of a call
// does not say that the call had no effect.
type disk interface {
	// ensure makes the directory anew where it is gone.
	ensure() error
	// create makes a file for writing that only its owner may open. The error
	// is tokens.ErrDamaged when the directory is gone.
	create(name string) (handle, error)
	// open opens a file for reading. The error is fs.ErrNotExist only when the
	// directory is there and the file is not; it is tokens.ErrDamaged when the
	// directory is gone, or the file is not this user's alone.
	open(name string) (handle, error)
	// lock locks a file, which it makes when there is none, until the Closer
	// is closed or the process ends. The error is errLocked when it would
	// have to wait.
	lock(name string) (io.Closer, error)
	// rename replaces the file to, or makes it.
	rename(from, to string) error
	remove(name string) error
	// sync makes durable what create, rename and remove did.
	sync() error
}

// A handle is an open file. Sync makes its content durable, not its name.
type handle interface {
	io.ReadWriteCloser
	Sync() error
}

// A folder is the disk of the operating system.
type folder struct {
	path string
	info fs.FileInfo // of the directory, when it was opened
}

func (d folder) join(name string) string { return filepath.Join(d.path, name) }

func (d folder) ensure() error {
	_, err := ensureDir(d.path)
	return err
}

func (d folder) create(name string) (handle, error) {
	f, err := os.OpenFile(d.join(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if isGone(err) {
		return nil, d.missing(err)
	}
	if err != nil {
		return nil, err
	}
	// The umask may have taken from the owner what open gave.
	if err := f.Chmod(0o600); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (d folder) open(name string) (handle, error) {
	path := d.join(name)
	// O_NONBLOCK: opening a named pipe would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case isGone(err):
		return nil, d.missing(err)
	case errors.Is(err, unix.ELOOP):
		return nil, damage("put the file itself in place of the link", "%s is a symbolic link", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, d.forbidden(err, path)
	case err != nil:
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = private(path, info, os.Geteuid())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// damage is an error, with its cure, of a record that is of no use to anybody.
func damage(cure, format string, args ...any) error {
	return &HintError{fmt.Errorf("%w: %w", fmt.Errorf(format, args...), tokens.ErrDamaged), cure}
}

// isGone reports whether a file, or the directory around it, is not there.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// missing tells a missing file from a missing directory: a volume that went
// away must not look like an account that never had a record.
func (d folder) missing(err error) error {
	info, statErr := os.Stat(d.path)
	if statErr != nil || !os.SameFile(d.info, info) {
		return damage("see that its volume is mounted, then start again",
			"%s is no longer the directory that it was when it was opened", d.path)
	}
	return err
}

// forbidden tells a file that may not be opened, which another may replace,
// from a directory in which nothing may be looked up.
func (d folder) forbidden(err error, path string) error {
	info, statErr := os.Lstat(path)
	if statErr != nil {
		return err
	}
	if wrong := private(path, info, os.Geteuid()); wrong != nil {
		return wrong
	}
	return damage("chmod 600 "+path, "%w", err)
}

// private refuses a file that another user than uid can read or change.
func private(path string, info fs.FileInfo, uid int) error {
	if !info.Mode().IsRegular() {
		return damage("move it away", "%s is not a regular file", path)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && uid != 0 && int(stat.Uid) != uid {
		return damage(fmt.Sprintf("chown %d %s", uid, path), "%s belongs to user %d, this process is user %d", path, stat.Uid, uid)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return damage("chmod 600 "+path, "%s can be read or changed by others (mode %04o)", path, mode)
	}
	return nil
}

func (d folder) lock(name string) (io.Closer, error) {
	return takeLock(d.join(name), os.O_CREATE, unix.LOCK_EX)
}

func (d folder) rename(from, to string) error { return os.Rename(d.join(from), d.join(to)) }

func (d folder) remove(name string) error { return os.Remove(d.join(name)) }

func (d folder) sync() error { return syncDir(d.path) }

func syncDir(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
