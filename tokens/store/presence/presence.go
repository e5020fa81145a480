// Package presence finds out whether another process of this machine has ended, for stores
// that are not on this machine.
//
// Before a process writes its id into a record, it takes the lock of a file of its own in
// /dev/shm, and holds it while it runs. The kernel releases the lock when the process ends,
// however that happens, and not while it is stopped (SIGSTOP). The file stays behind after a
// kill. All containers of a pod see the same /dev/shm, also a container that replaces a killed
// one.
//
// A free lock is a proof because of the file: its random name says that the holder ran
// here, and a tmpfs is never shared by two kernels. The id of the boot would be no such
// proof. Virtual machines that are clones of a running one have the same id, as those of
// Kata Containers with templates do.
package presence

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	prefix = "ticketproxy."
	suffix = ".holder"
	// settle is how long an ended process is not yet reported as gone. In that time, what
	// its kernel still sends arrives: a token request at the issuer, and a new record at
	// the store.
	settle = time.Second
	// keep is how long the file of a process that was killed stays: longer than any record
	// is waited for.
	keep = time.Hour
)

// A Process is the presence of this process. Safe for concurrent use.
type Process struct {
	dir      string
	id       string
	announce sync.Once

	mu    sync.Mutex
	lock  *os.File             // nil before Announce, and where there is no tmpfs to lock a file on
	ended map[string]time.Time // when other processes were first seen to have ended
}

// New returns the presence of this process, with a random id. It does no I/O.
func New() *Process { return newIn(sharedMemory) }

func newIn(dir string) *Process {
	return &Process{dir: dir, id: rand.Text(), ended: map[string]time.Time{}}
}

// Announce takes the lock of this process, and removes the files of processes that were
// killed long ago. It is called before the id is written into a record. The second call does
// nothing. Where there is no /dev/shm that this process can write to, others cannot tell when
// it has ended.
func (p *Process) Announce() {
	p.announce.Do(func() {
		if p.dir == "" {
			return
		}
		p.tidy()
		lock := p.takeLock()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lock = lock
	})
}

// takeLock returns the file of this process with its lock, and nil where there can be none.
func (p *Process) takeLock() *os.File {
	const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL | unix.O_NOFOLLOW
	file, err := os.OpenFile(p.path(p.id), flags, 0o600)
	if err != nil {
		return nil
	}
	if !isTmpfs(file) || flock(file, unix.LOCK_EX) != nil {
		os.Remove(file.Name())
		file.Close()
		return nil
	}
	return file
}

// Holder returns the id of this process, which is random.
func (p *Process) Holder() string { return p.id }

// Gone reports whether the process with that id, which may come from a stored record, is
// known to have ended at least a second ago. A wrong false delays the next refresh until the
// intent expires. A wrong true spends a token twice.
func (p *Process) Gone(id string) bool {
	ended := id != p.id && p.dir != "" && valid(id) && unlocked(p.path(id), time.Time{})
	p.mu.Lock()
	defer p.mu.Unlock()
	if !ended {
		delete(p.ended, id)
		return false
	}
	since, ok := p.ended[id]
	if !ok {
		since = time.Now()
		p.ended[id] = since
	}
	return time.Since(since) >= settle
}

// Close releases the lock. The file stays if a record names this process, so that others can
// find out that it has ended. A second Close does nothing.
func (p *Process) Close(named bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lock == nil {
		return nil
	}
	var err error
	if !named {
		err = os.Remove(p.lock.Name())
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	err = errors.Join(err, p.lock.Close())
	p.lock = nil
	return err
}

func (p *Process) path(id string) string { return filepath.Join(p.dir, prefix+id+suffix) }

// valid reports whether id has the format of an id (rand.Text), and is safe in a path.
func valid(id string) bool {
	return len(id) == 26 && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// tidy removes the files that were left long ago. It does no harm if it cannot.
func (p *Process) tidy() {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		id, ours := strings.CutPrefix(entry.Name(), prefix)
		id, named := strings.CutSuffix(id, suffix)
		if ours && named && valid(id) && unlocked(p.path(id), time.Now().Add(-keep)) {
			os.Remove(p.path(id))
		}
	}
}

// unlocked reports whether the lock of a file is free. The file is this user's, on a tmpfs,
// and not newer than the given time, unless that is zero. The lock is shared, so that two
// processes that check at the same time do not take each other for the holder.
func unlocked(path string, notAfter time.Time) bool {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		return false
	}
	if !notAfter.IsZero() && info.ModTime().After(notAfter) {
		return false
	}
	return isTmpfs(file) && flock(file, unix.LOCK_SH) == nil
}

// flock takes a lock of a file, and does not wait for it. See flock(2).
func flock(file *os.File, how int) error {
	for {
		if err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
