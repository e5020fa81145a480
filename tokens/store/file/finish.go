package file

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"ticketproxy/tokens"
)

// A tempFile is the content of the name of a temporary file.
type tempFile struct {
	account string
	holder  string
	old     tokens.Version // the version that it is to replace
}

// tempName returns a unique name for each attempt to write. No account's name has a dot, so
// it is never the name of a record.
func tempName(account, holder string, old tokens.Version) string {
	if old == "" {
		old = "none"
	}
	return "." + account + "." + holder + "." + string(old) + "." + randomHex(8) + ".tmp"
}

func parseTemp(name string) (tempFile, bool) {
	parts := strings.Split(name, ".") // "", account, holder, version, number, "tmp"
	if len(parts) != 6 || parts[0] != "" || parts[5] != "tmp" || !validHolder(parts[2]) {
		return tempFile{}, false
	}
	return tempFile{account: parts[1], holder: parts[2], old: tokens.Version(parts[3])}, true
}

// finishTimeout bounds the wait for the record's lock.
const finishTimeout = 5 * time.Second

// Gone implements tokens.Presence. If holder was killed during a Swap and had written a new
// grant to the disk, Gone first finishes that Swap. The record then has another version, so
// no process spends the old refresh token.
func (f *File) Gone(holder string) bool {
	return f.presence.gone(holder) && f.finish(holder) == nil
}

// finish completes the Swap of a holder that has ended, if its temporary file is complete
// and has a newer generation than the record. That is allowed, because no caller got a
// result of that Swap.
func (f *File) finish(holder string) error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		temp, ok := parseTemp(entry.Name())
		if !ok || temp.account != f.name || temp.holder != holder {
			continue
		}
		if err := f.finishTemp(entry.Name(), temp.old); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) finishTemp(name string, old tokens.Version) error {
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	lock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	record, version, err := f.read(nil)
	if err != nil {
		return err
	}
	next, data, err := f.readTemp(name)
	if err != nil || version != old || next.Generation <= record.Generation {
		return f.disk.remove(name) // incomplete, or the record is newer
	}
	if err := f.rename(name, old, versionOf(data)); err != nil {
		return err
	}
	return f.disk.sync()
}

// readTemp reads the record in a temporary file, and makes it durable.
func (f *File) readTemp(name string) (tokens.Record, []byte, error) {
	h, err := f.disk.open(name)
	if err != nil {
		return tokens.Record{}, nil, err
	}
	defer h.Close()
	data, err := io.ReadAll(io.LimitReader(h, sizeLimit))
	if err != nil {
		return tokens.Record{}, nil, err
	}
	record, err := tokens.Decode(data)
	if err != nil {
		return tokens.Record{}, nil, err
	}
	return record, data, h.Sync()
}
