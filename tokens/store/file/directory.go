package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ticketproxy/hint"
)

// ensureDir creates the directory at path if it does not exist, and refuses one that
// another user owns or can write to.
func ensureDir(path string) (fs.FileInfo, error) {
	if err := makeDir(path); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err != nil {
		return nil, err
	} else if err := trustedLink(path, info, os.Geteuid()); err != nil {
		return nil, err
	}
	dir, info, err := openDirectory(path)
	if errors.Is(err, unix.ENOTDIR) {
		return nil, hint.With(fmt.Errorf("%s is not a directory", path), "name a directory, it will be created")
	}
	if err != nil {
		return nil, err
	}
	return info, dir.Close()
}

// makeDir creates the directory at path and its parents if they do not exist, and makes
// that durable.
func makeDir(path string) error {
	parent := filepath.Dir(path)
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) && parent != path {
		if err := makeDir(parent); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		// Another process may just have made it. The sync may fail for a parent that
		// this user may not read; then this user did not write to it, either.
		syncDir(parent)
		return nil
	}
	if err != nil {
		return err
	}
	// The umask may have removed permissions of the owner. Chmod is called only then,
	// because another user may have put a link at the path.
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.IsDir() && info.Mode().Perm() != 0o700 {
		if err := os.Chmod(path, 0o700); err != nil {
			return err
		}
	}
	return syncDir(parent)
}

func syncDir(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// openDirectory opens the directory at path. It checks on the open handle that no other
// user owns it or can write to it.
func openDirectory(path string) (*os.File, fs.FileInfo, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrPermission) {
		// Only the message depends on this check of the path.
		if info, statErr := os.Stat(path); statErr == nil {
			if wrong := exclusive(path, info, os.Geteuid()); wrong != nil {
				err = wrong
			}
		}
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := dir.Stat()
	if err == nil {
		err = exclusive(path, info, os.Geteuid())
	}
	if err != nil {
		dir.Close()
		return nil, nil, err
	}
	return dir, info, nil
}
