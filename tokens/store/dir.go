package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A Dir is a directory with the records of any number of accounts, and this
// process's presence in it. It is safe for concurrent use, also by several
// processes. In it are
//
//	NAME.json                      an account's record
//	NAME.lock                      locked while that record is replaced; never removed
//	.HOLDER.holder                 locked for as long as that process lives
//	.NAME.HOLDER.OLD.NUMBER.tmp    a record that is to replace the one of version OLD
type Dir struct {
	folder   folder
	presence *presence
	close    sync.Once
}

// OpenDir prepares the directory at path for the accounts' records and takes
// this process's presence lock in it. It makes the directory, with its
// parents, for the owner alone (0700) when there is none, and refuses one that
// others can write to. It removes what killed processes have left behind.
func OpenDir(path string) (*Dir, error) {
	d, err := openDir(path)
	if err != nil {
		return nil, fmt.Errorf("opening state: %w", err)
	}
	return d, nil
}

func openDir(path string) (*Dir, error) {
	if path == "" {
		return nil, errors.New("no directory is named")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	info, err := ensureDir(path)
	if err != nil {
		return nil, err
	}
	f := folder{path: path, info: info}
	// Better to hear now than after the first spend that this cannot be done.
	if err := f.sync(); err != nil {
		return nil, &HintError{
			fmt.Errorf("making %s durable: %w", path, err),
			"keep the state on a local file system",
		}
	}
	p, err := announce(f)
	if errors.Is(err, fs.ErrPermission) {
		err = &HintError{err, fmt.Sprintf("chown %d %s", os.Geteuid(), path)}
	}
	if err != nil {
		return nil, err
	}
	p.tidy()
	return &Dir{folder: f, presence: p}, nil
}

// ensureDir makes the directory at path where there is none, and refuses one
// that others can write to.
func ensureDir(path string) (fs.FileInfo, error) {
	if err := makeDir(path); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &HintError{fmt.Errorf("%s is not a directory", path), "name a directory, it will be created"}
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return nil, &HintError{
			fmt.Errorf("%s can be written to by others (mode %04o)", path, mode),
			"name a subdirectory, it will be created: " + filepath.Join(path, "ticketproxy"),
		}
	}
	return info, nil
}

// makeDir makes the directory at path, and its parents, where there is none,
// and makes that durable.
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
		// Perhaps made by another process a moment ago. A parent that we may
		// not read is one that neither of us wrote to.
		syncDir(parent)
		return nil
	}
	if err != nil {
		return err
	}
	// The umask may have taken from the owner what mkdir gave.
	if err := os.Chmod(path, 0o700); err != nil {
		return err
	}
	return syncDir(parent)
}

// Holder returns the id of this process, which is random.
func (d *Dir) Holder() string { return d.presence.holder }

// Account returns the store of one account's record, NAME.json. A name may
// have letters a to z, digits and hyphens; with any other, each method of the
// File fails.
func (d *Dir) Account(name string) *File {
	return newFile(d.folder, d.folder.path, d.presence, name)
}

func newFile(on disk, dir string, p *presence, name string) *File {
	f := &File{disk: on, presence: p, dir: dir, name: name}
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		f.invalid = fmt.Errorf("%q is no account name: a to z, 0 to 9 and - only", name)
	}
	return f
}

// Close ends this process's presence: it releases the lock and removes the
// lock's file, unless a record still names this process as the holder of an
// intent. No File of d is to be used afterwards. A second Close does nothing.
func (d *Dir) Close() error {
	var err error
	d.close.Do(func() { err = d.presence.leave() })
	if err != nil {
		return fmt.Errorf("closing state: %w", err)
	}
	return nil
}
