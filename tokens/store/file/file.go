package file

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// sizeLimit bounds a stored record, which is about 1 KB.
const sizeLimit = 1 << 20

// A File stores one account's record in one file of a Dir; get it from [Dir.Account]. It
// implements tokens.Store and tokens.Presence. It is safe for concurrent use by goroutines
// and processes on one machine, or on several if their file system shares flock(2) locks.
//
// The version is a hash of the file's content. So a person may replace the file while
// processes run, and they see the change at their next Load or Swap.
type File struct {
	disk     disk
	presence *presence
	dir      string // for messages
	name     string // of the account
	invalid  error  // why name is not valid; otherwise nil

	// synced is the version that was last synced by Load. If the same version returns
	// after another one, it is not synced again. That is safe: a generation never
	// decreases, so the same version has the same tokens.
	synced atomic.Pointer[tokens.Version]
}

// Load implements tokens.Store. It takes no lock. The returned record is durable, even if
// the process that wrote it was killed before it had synced the file, or got
// tokens.ErrUnknown. The error is tokens.ErrDamaged for a file that is empty, not a record,
// or accessible to other users. It is tokens.ErrDamaged, too, for a directory that does not
// exist or was replaced; Swap creates it again.
func (f *File) Load(ctx context.Context) (tokens.Record, tokens.Version, error) {
	if err := f.usable(ctx); err != nil {
		return tokens.Record{}, "", fmt.Errorf("loading state: %w", err)
	}
	return f.read(f.syncOnce)
}

// Swap implements tokens.Store. It waits for the record's lock until ctx is done. Once it
// has the lock, it ignores ctx.
func (f *File) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	if err := f.usable(ctx); err != nil {
		return "", fmt.Errorf("saving state: %w", err)
	}
	data, err := next.Encode()
	if err == nil && len(data) > sizeLimit {
		err = fmt.Errorf("record of %d bytes is too large", len(data))
	}
	if err != nil {
		return "", fmt.Errorf("saving state: %s: %w", f.path(), err)
	}
	temp := tempName(f.name, f.presence.holder, old)
	version := versionOf(data)
	if old == damagedVersion {
		if err := f.disk.ensure(); err != nil {
			return "", fmt.Errorf("saving state: %w", err)
		}
	}
	// The fsync of the content, the slow part, is done before the lock is taken.
	err = f.write(temp, data)
	if err == nil {
		err = f.replace(ctx, temp, old, version)
	}
	if err != nil {
		f.disk.remove(temp)
		if errors.Is(err, tokens.ErrConflict) {
			return "", err
		}
		return "", fmt.Errorf("saving state: %w", err)
	}
	return version, nil
}

func (f *File) usable(ctx context.Context) error {
	if f.invalid != nil {
		return f.invalid
	}
	return ctx.Err()
}

func (f *File) record() string { return f.name + ".json" }

func (f *File) path() string { return filepath.Join(f.dir, f.record()) }

// damagedVersion is the version of every record that cannot be used.
const damagedVersion tokens.Version = "damaged"

// read returns the current record. While the file is open, it calls seen unless seen is
// nil.
func (f *File) read(seen func(handle, tokens.Version) error) (tokens.Record, tokens.Version, error) {
	h, err := f.disk.open(f.record())
	if errors.Is(err, fs.ErrNotExist) {
		return tokens.Record{}, "", tokens.ErrNone
	}
	if err != nil {
		return tokens.Record{}, versionOfDamage(err), fmt.Errorf("opening state: %w", err)
	}
	defer h.Close()
	data, err := io.ReadAll(io.LimitReader(h, sizeLimit+1))
	if err != nil {
		return tokens.Record{}, "", fmt.Errorf("reading state: %w", err)
	}
	record, err := f.decode(data)
	if err != nil {
		return tokens.Record{}, versionOfDamage(err), fmt.Errorf("reading state: %w", err)
	}
	version := versionOf(data)
	if seen != nil {
		if err := seen(h, version); err != nil {
			return tokens.Record{}, "", fmt.Errorf("reading state: making %s durable: %w", f.path(), err)
		}
	}
	return record, version, nil
}

func (f *File) decode(data []byte) (tokens.Record, error) {
	var record tokens.Record
	var err error
	switch {
	case len(data) == 0:
		err = fmt.Errorf("%s is empty: %w", f.path(), tokens.ErrDamaged)
	case len(data) > sizeLimit:
		err = fmt.Errorf("%s is larger than %d bytes: %w", f.path(), sizeLimit, tokens.ErrDamaged)
	default:
		if record, err = tokens.Decode(data); err != nil {
			err = fmt.Errorf("%s: %w", f.path(), err)
		}
	}
	if err == nil {
		return record, nil
	}
	advice := fmt.Sprintf("move the file away and run: ticketproxy login %s", f.name)
	if !errors.Is(err, tokens.ErrDamaged) { // its account lives
		advice = "a newer version of ticketproxy wrote it: run that version here, and keep the file"
	}
	return tokens.Record{}, hint.With(err, advice)
}

// syncOnce makes the record that was read durable, once for each version: its writer may
// have been killed between its rename and its fsync.
func (f *File) syncOnce(h handle, version tokens.Version) error {
	if v := f.synced.Load(); v != nil && *v == version {
		return nil
	}
	if err := h.Sync(); err != nil {
		return err
	}
	if err := f.disk.sync(); err != nil {
		return err
	}
	f.synced.Store(&version)
	return nil
}

// write creates the file temp with data, and makes the data durable.
func (f *File) write(temp string, data []byte) error {
	h, err := f.disk.create(temp)
	if err != nil {
		return f.unwritable(err)
	}
	_, err = h.Write(data)
	if err == nil {
		err = h.Sync()
	}
	if closeErr := h.Close(); err == nil {
		err = closeErr
	}
	return f.unwritable(err)
}

// unwritable adds a hint to the error of a volume that is full or not writable.
func (f *File) unwritable(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return hint.With(err, "make room on the volume of "+f.path())
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return hint.With(err, fmt.Sprintf("make %s writable for user %d", f.dir, os.Geteuid()))
	}
	return err
}

// replace replaces the record by temp if the record's version is old.
func (f *File) replace(ctx context.Context, temp string, old, version tokens.Version) error {
	lock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	_, current, err := f.read(nil)
	switch {
	case errors.Is(err, tokens.ErrNone), errors.Is(err, tokens.ErrDamaged) && old == damagedVersion:
	case err != nil:
		return err
	}
	if current != old {
		return tokens.ErrConflict
	}
	if err := f.rename(temp, old, version); err != nil {
		return err
	}
	if err := f.disk.sync(); err != nil {
		return fmt.Errorf("%s: %w: %w", f.path(), tokens.ErrUnknown, err)
	}
	return nil
}

// version returns the version of the current record, also of a damaged one. It is "" when
// there is no record.
func (f *File) version() (tokens.Version, error) {
	_, version, err := f.read(nil)
	if errors.Is(err, tokens.ErrNone) || errors.Is(err, tokens.ErrDamaged) {
		err = nil
	}
	return version, err
}

// rename replaces the record, of version old, by temp, of the given version. It then reads
// the record to find out whether that happened. If the record is still old, the outcome is
// known only once temp is removed: as long as temp exists, a network file system could
// still carry out the rename.
func (f *File) rename(temp string, old, version tokens.Version) error {
	err := f.disk.rename(temp, f.record())
	removed := false
	if err != nil {
		removeErr := f.disk.remove(temp)
		removed = removeErr == nil || errors.Is(removeErr, fs.ErrNotExist)
	}
	current, readErr := f.version()
	switch {
	case readErr == nil && current == version:
		return nil
	case readErr == nil && current == old && removed:
		return err
	}
	return fmt.Errorf("%s: %w: %w", f.path(), tokens.ErrUnknown,
		errors.Join(err, readErr, errors.New("renaming: the new record is not to be seen")))
}

// lock locks the record against Swap in every other process and goroutine.
func (f *File) lock(ctx context.Context) (io.Closer, error) {
	name := f.name + ".lock"
	lock, err := waitForLock(ctx, func() (io.Closer, error) { return f.disk.lock(name) })
	if errors.Is(err, errLocked) {
		return nil, hint.With(
			fmt.Errorf("%s is %w", f.path(), err),
			"find the process that keeps the lock: fuser "+filepath.Join(f.dir, name),
		)
	}
	return lock, err
}

func versionOf(data []byte) tokens.Version {
	sum := sha256.Sum256(data)
	return tokens.Version(hex.EncodeToString(sum[:]))
}

func versionOfDamage(err error) tokens.Version {
	if errors.Is(err, tokens.ErrDamaged) {
		return damagedVersion
	}
	return ""
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
