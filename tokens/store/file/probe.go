package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// Probe proves that records can be stored in the directory: it writes the record of an
// account that no user can have, replaces it, reads it back, and removes it. It also opens
// the lock of each record that is there.
func (d *Dir) Probe(ctx context.Context) error {
	f := d.Account("probe")
	f.name = ".probe." + d.Holder() // not a valid account name, because of the dot
	defer func() {
		d.disk.remove(f.record())
		d.disk.remove(f.name + ".lock")
	}()
	var version tokens.Version
	for generation := range uint64(2) {
		next := tokens.Record{Generation: generation, Grant: tokens.Grant{RefreshToken: secret.New("probe")}}
		var err error
		if version, err = f.Swap(ctx, version, next); err != nil {
			return fmt.Errorf("probing %s: %w", d.disk.path, err)
		}
	}
	read, readVersion, err := f.Load(ctx)
	if err != nil {
		return fmt.Errorf("probing %s: %w", d.disk.path, err)
	}
	if readVersion != version || read.Generation != 1 {
		return fmt.Errorf("probing %s: %w", d.disk.path, errors.New("what was written is not what is read"))
	}
	return d.probeLocks()
}

// probeLocks takes and releases the locks that exist. One that another process has is sound.
func (d *Dir) probeLocks() error {
	entries, err := os.ReadDir(d.disk.path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".lock") {
			continue
		}
		lock, err := d.disk.lock(entry.Name())
		switch {
		case errors.Is(err, errLocked):
		case err != nil:
			return err
		default:
			lock.Close()
		}
	}
	return nil
}
