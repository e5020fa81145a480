package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"ticketproxy/hint"
)

// A Dir is a directory with the records of any number of accounts, and this process's
// presence in it. It is safe for concurrent use, also by several processes. Its files are
//
//	NAME.json                      an account's record
//	NAME.lock                      locked while that record is replaced; never removed
//	.HOLDER.holder                 locked while that process runs
//	.NAME.HOLDER.OLD.NUMBER.tmp    a new record that is to replace version OLD
type Dir struct {
	disk     osDisk
	presence *presence
	close    sync.Once
}

// Open prepares the directory at path for the accounts' records and takes this process's
// presence lock in it. If the directory does not exist, Open creates it and its parents
// with mode 0700. It refuses a directory that another user owns or can write to. It
// removes the files that killed processes have left.
func Open(path string) (*Dir, error) {
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
	f := osDisk{path: path, info: info}
	// Find out before the first refresh whether the directory can be synced.
	if err := f.sync(); err != nil {
		return nil, hint.With(
			fmt.Errorf("making %s durable: %w", path, err),
			"keep the state on a local file system",
		)
	}
	p, err := newPresence(f)
	if errors.Is(err, fs.ErrPermission) {
		err = hint.With(err, "chmod 700 "+path)
	}
	if err != nil {
		return nil, err
	}
	p.tidy()
	return &Dir{disk: f, presence: p}, nil
}

// Path returns the directory.
func (d *Dir) Path() string { return d.disk.path }

// Holder returns the id of this process, which is random.
func (d *Dir) Holder() string { return d.presence.holder }

// Account returns the store of one account's record, NAME.json. A name may have letters a
// to z, digits and hyphens. For any other name, each method of the File fails.
func (d *Dir) Account(name string) *File {
	return newFile(d.disk, d.disk.path, d.presence, name)
}

func newFile(on disk, dir string, p *presence, name string) *File {
	f := &File{disk: on, presence: p, dir: dir, name: name}
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		f.invalid = fmt.Errorf("%q is no account name: a to z, 0 to 9 and - only", name)
	}
	return f
}

// Accounts returns the names of the accounts that have a record, in alphabetical order.
func (d *Dir) Accounts(context.Context) ([]string, error) {
	entries, err := os.ReadDir(d.disk.path)
	if err != nil {
		return nil, fmt.Errorf("listing state: %w", err)
	}
	var names []string
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".json")
		if ok && d.Account(name).invalid == nil {
			names = append(names, name)
		}
	}
	return names, nil
}

// Close ends this process's presence. It releases the lock, and removes the lock's file
// unless a record still names this process as the holder of an intent. No File of d may be
// used afterwards. A second Close does nothing.
func (d *Dir) Close() error {
	var err error
	d.close.Do(func() { err = d.presence.close() })
	if err != nil {
		return fmt.Errorf("closing state: %w", err)
	}
	return nil
}
