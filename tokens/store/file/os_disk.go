package file

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ticketproxy/hint"
)

// An osDisk is a disk in a directory of the operating system.
//
// Each operation opens the directory, checks on the open handle that no other user owns it
// or can write to it, and uses that handle. A user who can write to a parent can therefore
// remove the directory, but cannot replace it between a check and its use.
type osDisk struct {
	path string
	info fs.FileInfo // of the directory, when it was opened
}

func (d osDisk) join(name string) string { return filepath.Join(d.path, name) }

func (d osDisk) ensure() error {
	_, err := ensureDir(d.path)
	return err
}

// directory opens the directory. The error is tokens.ErrDamaged when it does not exist, or
// another user owns it or can write to it.
func (d osDisk) directory() (*os.File, error) {
	dir, _, err := openDirectory(d.path)
	if isGone(err) {
		return nil, d.replacedError()
	}
	if advice := hint.Of(err); advice != "" {
		return nil, damage(advice, "%w", err)
	}
	return dir, err
}

// openAt opens a file of the directory. It does not follow a symbolic link.
func (d osDisk) openAt(name string, flag int) (*os.File, error) {
	dir, err := d.directory()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	// Without O_NONBLOCK, opening a named pipe would wait for its writer.
	flag |= unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	var fd int
	err = uninterrupted(func() error {
		fd, err = unix.Openat(int(dir.Fd()), name, flag, 0o600)
		return err
	})
	if isGone(err) {
		return nil, d.notFoundError(dir, &fs.PathError{Op: "open", Path: d.join(name), Err: err})
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.join(name), Err: err}
	}
	return os.NewFile(uintptr(fd), d.join(name)), nil
}

// uninterrupted repeats a system call that a signal has interrupted.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (d osDisk) create(name string) (handle, error) {
	f, err := d.openAt(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return nil, err
	}
	// The umask may have removed permissions of the owner.
	if err := f.Chmod(0o600); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (d osDisk) open(name string) (handle, error) {
	path := d.join(name)
	f, err := d.openAt(name, unix.O_RDONLY)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, damage("put the file itself in place of the link", "%s is a symbolic link", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, d.permissionError(err, path)
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

// isGone reports whether a file or its directory does not exist.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// notFoundError returns err when the file does not exist in dir, and another error when the
// directory was replaced: an unmounted volume must not look like an account that never had
// a record.
func (d osDisk) notFoundError(dir *os.File, err error) error {
	info, statErr := dir.Stat()
	if statErr != nil || !os.SameFile(d.info, info) {
		return d.replacedError()
	}
	// A directory that was removed while it was open has no files, either.
	if info, statErr = os.Stat(d.path); statErr != nil || !os.SameFile(d.info, info) {
		return d.replacedError()
	}
	return err
}

func (d osDisk) replacedError() error {
	return damage("see that its volume is mounted, then start again",
		"%s is no longer the directory that it was when it was opened", d.path)
}

// permissionError returns a tokens.ErrDamaged, which allows a replacement, when the file may
// not be opened, and err when the directory may not be searched.
func (d osDisk) permissionError(err error, path string) error {
	info, statErr := os.Lstat(path)
	if statErr != nil {
		return err
	}
	if wrong := private(path, info, os.Geteuid()); wrong != nil {
		return wrong
	}
	return damage("chmod 600 "+path, "%w", err)
}

func (d osDisk) lock(name string) (io.Closer, error) {
	return d.takeLock(name, unix.O_CREAT, unix.LOCK_EX)
}

func (d osDisk) rename(from, to string) error {
	return d.withDir("rename", from, func(dir int) error { return unix.Renameat(dir, from, dir, to) })
}

func (d osDisk) remove(name string) error {
	return d.withDir("remove", name, func(dir int) error { return unix.Unlinkat(dir, name, 0) })
}

// withDir makes a system call that changes the directory.
func (d osDisk) withDir(op, name string, call func(dir int) error) error {
	dir, err := d.directory()
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := uninterrupted(func() error { return call(int(dir.Fd())) }); err != nil {
		return &fs.PathError{Op: op, Path: d.join(name), Err: err}
	}
	return nil
}

func (d osDisk) sync() error {
	dir, err := d.directory()
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
