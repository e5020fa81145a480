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

// A presence is the lock that a process holds on a file of its own while it runs. The
// kernel releases the lock whenever the process ends, but not while it is stopped (SIGSTOP).
//
// A free lock proves that a process has ended only if the process ran under the current
// boot of this kernel, because a file system may not show the locks of another machine.
// The holder's id has the boot. The proof needs the lock's file, so the file stays while a
// record names the holder.
type presence struct {
	disk   osDisk
	holder string
	lock   io.Closer
}

const (
	kernelDigits = 16 // of an id: the hash of the boot
	holderDigits = kernelDigits + 32
)

// newPresence takes the lock of a new holder.
func newPresence(d osDisk) (*presence, error) {
	p := &presence{disk: d, holder: newHolder(bootID())}
	lock, err := waitForLock(context.Background(), func() (io.Closer, error) {
		return d.lock(holderFile(p.holder))
	})
	if err != nil {
		return nil, err
	}
	p.lock = lock
	return p, nil
}

// newHolder returns a random id. If the boot is unknown, the id has a random boot that no
// other id shares.
func newHolder(boot string) string {
	kernel := randomHex(kernelDigits / 2)
	if boot != "" {
		sum := sha256.Sum256([]byte("ticketproxy " + boot))
		kernel = hex.EncodeToString(sum[:])[:kernelDigits]
	}
	return kernel + randomHex((holderDigits-kernelDigits)/2)
}

// validHolder reports whether id, which may come from a stored record, has the format of an
// id and is safe in a path.
func validHolder(id string) bool {
	return len(id) == holderDigits && strings.Trim(id, "0123456789abcdef") == ""
}

func holderFile(id string) string { return "." + id + ".holder" }

// gone reports whether holder is known to have ended. A wrong false delays the next refresh
// until the intent expires. A wrong true spends a token twice.
func (p *presence) gone(holder string) bool {
	if !validHolder(holder) || holder == p.holder || holder[:kernelDigits] != p.holder[:kernelDigits] {
		return false
	}
	ended, err := p.unlocked(holder)
	return ended && err == nil
}

// unlocked reports whether holder's lock is free. The error is fs.ErrNotExist when there is
// no lock file.
func (p *presence) unlocked(holder string) (bool, error) {
	// The lock is shared, so that two processes that check at the same time do not take
	// each other for the holder.
	lock, err := p.disk.takeLock(holderFile(holder), 0, unix.LOCK_SH)
	if errors.Is(err, errLocked) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, lock.Close()
}

// close ends the presence. The lock's file stays if a record names this holder, so that
// another process can find out that the holder of the intent has ended.
func (p *presence) close() error {
	if p.mayBeNamed(p.holder) {
		return p.lock.Close()
	}
	err := p.disk.remove(holderFile(p.holder))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, tokens.ErrDamaged) {
		err = nil
	}
	return errors.Join(err, p.lock.Close())
}

// tidy removes the files that killed processes have left: their temporary files, except
// those that finish may need, and their lock files. Files that it cannot remove do no
// harm.
func (p *presence) tidy() {
	entries, err := os.ReadDir(p.disk.path)
	if err != nil {
		return
	}
	for _, entry := range entries {
		parts := strings.Split(entry.Name(), ".") // "", holder, "holder"
		temp, ok := parseTemp(entry.Name())
		switch {
		case ok:
			ended, err := p.unlocked(temp.holder)
			if (ended || errors.Is(err, fs.ErrNotExist)) && !p.mayBeNamed(temp.holder) {
				p.disk.remove(entry.Name())
			}
		case len(parts) == 3 && parts[2] == "holder" && validHolder(parts[1]):
			if !p.mayBeNamed(parts[1]) {
				p.removeLockFile(parts[1])
			}
		}
	}
}

// removeLockFile removes the file of holder's lock if the lock is free. It holds the lock
// meanwhile, so that two processes do not remove a file that was created again.
func (p *presence) removeLockFile(holder string) {
	lock, err := p.disk.takeLock(holderFile(holder), 0, unix.LOCK_EX)
	if err != nil {
		return
	}
	defer lock.Close()
	p.disk.remove(holderFile(holder))
}

// mayBeNamed reports whether a record may name holder. Once a holder has ended and no record
// names it, no record will: other processes write only the holders that they read.
func (p *presence) mayBeNamed(holder string) bool {
	entries, err := os.ReadDir(p.disk.path)
	if err != nil {
		return true
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".json") {
			continue
		}
		h, err := p.disk.open(entry.Name())
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
