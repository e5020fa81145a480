package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"ticketproxy/tokens"
)

// A presence is the lock that a process keeps on a file of its own for as long
// as it lives: the kernel releases it however the process ends, and not while
// it is merely stopped.
//
// That a process has ended is believed only of one that ran under the present
// boot of this kernel, because a file system may keep the locks of another
// machine from us; the holder's id tells. It is believed for as long as the
// lock's file exists, so the file stays while a record names the holder.
type presence struct {
	folder folder
	holder string
	lock   io.Closer
}

const (
	kernelDigits = 16 // of an id: a hash of the kernel's boot
	holderDigits = kernelDigits + 32
)

// announce takes the lock of a new holder.
func announce(d folder) (*presence, error) {
	p := &presence{folder: d, holder: newHolder(bootID())}
	lock, err := await(context.Background(), func() (io.Closer, error) {
		return d.lock(holderFile(p.holder))
	})
	if err != nil {
		return nil, err
	}
	p.lock = lock
	return p, nil
}

// newHolder returns a random id. One of an unknown boot is of a boot that
// nobody shares.
func newHolder(boot string) string {
	kernel := randomHex(kernelDigits / 2)
	if boot != "" {
		sum := sha256.Sum256([]byte("ticketproxy " + boot))
		kernel = hex.EncodeToString(sum[:])[:kernelDigits]
	}
	return kernel + randomHex((holderDigits-kernelDigits)/2)
}

// validHolder reports whether id, which may come from a stored record, has the
// form of an id and so is fit for a path.
func validHolder(id string) bool {
	return len(id) == holderDigits && strings.Trim(id, "0123456789abcdef") == ""
}

func holderFile(id string) string { return "." + id + ".holder" }

// gone reports whether holder is known to have ended. A wrong false costs the
// time that an intent is respected; a wrong true spends a token twice.
func (p *presence) gone(holder string) bool {
	if !validHolder(holder) || holder == p.holder || holder[:kernelDigits] != p.holder[:kernelDigits] {
		return false
	}
	ended, err := p.unlocked(holder)
	return ended && err == nil
}

// unlocked reports whether nobody has holder's lock. The error is
// fs.ErrNotExist when there is no such file.
func (p *presence) unlocked(holder string) (bool, error) {
	// Shared: of two who look at the same time neither takes the other for
	// the holder.
	lock, err := p.folder.takeLock(holderFile(holder), 0, unix.LOCK_SH)
	if errors.Is(err, errLocked) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, lock.Close()
}

// leave ends the presence. The lock's file stays if a record names us, for
// a process that finds that intent must be able to tell that we are gone.
func (p *presence) leave() error {
	if p.named(p.holder) {
		return p.lock.Close()
	}
	err := p.folder.remove(holderFile(p.holder))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, tokens.ErrDamaged) {
		err = nil
	}
	return errors.Join(err, p.lock.Close())
}

// tidy removes what processes that were killed have left behind: their
// temporary files, but for what finish may need, and the files of their locks.
// What it cannot remove does no harm.
func (p *presence) tidy() {
	entries, err := os.ReadDir(p.folder.path)
	if err != nil {
		return
	}
	for _, entry := range entries {
		parts := strings.Split(entry.Name(), ".") // "", holder, "holder"
		temp, ok := parseTemp(entry.Name())
		switch {
		case ok:
			ended, err := p.unlocked(temp.holder)
			if (ended || errors.Is(err, fs.ErrNotExist)) && !p.named(temp.holder) {
				p.folder.remove(entry.Name())
			}
		case len(parts) == 3 && parts[2] == "holder" && validHolder(parts[1]):
			if !p.named(parts[1]) {
				p.forget(parts[1])
			}
		}
	}
}

// forget removes the file of holder's lock if nobody has the lock. It keeps
// the lock meanwhile, so that of two who do this neither removes a file that
// was made anew.
func (p *presence) forget(holder string) {
	lock, err := p.folder.takeLock(holderFile(holder), 0, unix.LOCK_EX)
	if err != nil {
		return
	}
	defer lock.Close()
	p.folder.remove(holderFile(holder))
}

// named reports whether a record may name holder. Once a holder has ended and
// no record names it, none ever will: a Swap carries over only what it found.
func (p *presence) named(holder string) bool {
	entries, err := os.ReadDir(p.folder.path)
	if err != nil {
		return true
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".json") {
			continue
		}
		h, err := p.folder.open(entry.Name())
		if err != nil {
			return true
		}
		data, err := io.ReadAll(io.LimitReader(h, sizeLimit))
		h.Close()
		if err != nil || strings.Contains(string(data), holder) {
			return true
		}
	}
	return false
}
