package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ticketproxy/hint"
)

// lockInterval is the time between two attempts to take a lock. Processes hold it for one
// rename and one fsync.
const lockInterval = 5 * time.Millisecond

var errLocked = errors.New("locked by another process")

// waitForLock calls try until its error is not errLocked, or ctx is done.
func waitForLock(ctx context.Context, try func() (io.Closer, error)) (io.Closer, error) {
	for {
		lock, err := try()
		if !errors.Is(err, errLocked) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", errLocked, ctx.Err())
		case <-time.After(lockInterval):
		}
	}
}

// takeLock takes a flock(2) on a file of the directory, which it opens for reading and
// writing with flag. It does not wait: the error is errLocked when another has the lock, or
// when the file was removed or replaced meanwhile.
func (d osDisk) takeLock(name string, flag, how int) (*os.File, error) {
	path := d.join(name)
	f, err := d.openAt(name, unix.O_RDWR|flag)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, hint.With(fmt.Errorf("%s is a symbolic link", path), "rm "+path)
	case errors.Is(err, fs.ErrPermission):
		// Only the message depends on this check of the path.
		if info, statErr := os.Lstat(path); statErr == nil {
			if wrong := ownLock(path, info, os.Geteuid()); wrong != nil {
				err = wrong
			}
		}
		return nil, err
	case err != nil:
		return nil, err
	}
	if err := lockOpen(f, path, how); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func lockOpen(f *os.File, path string, how int) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := ownLock(path, info, os.Geteuid()); err != nil {
		return err
	}
	// The umask may have removed permissions of the owner. And users who can open the
	// file could lock it.
	if info.Mode().Perm() != 0o600 {
		if err := f.Chmod(0o600); err != nil {
			return err
		}
	}
	switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EINTR):
		return errLocked
	case err != nil:
		return hint.With(fmt.Errorf("locking %s: %w", path, err), "keep the state on a local file system")
	}
	// If the file was removed meanwhile, a new file has another lock.
	there, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errLocked
	case err != nil:
		return err
	case !os.SameFile(info, there):
		return errLocked
	}
	return nil
}
