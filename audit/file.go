package audit

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"ticketproxy/hint"
)

// lookEvery is how often it is looked at which file is at the path.
const lookEvery = time.Second

// reserveStep is how much space is reserved at once, while there is enough.
const reserveStep = 1 << 20

// A logFile is the sink of a file. If each line is required, it reserves space beyond the
// end of the file, and holds a lock, so that no other process reserves the same space.
// Whoever truncates the file takes the reserved space from it for up to lookEvery.
type logFile struct {
	path     string
	required bool
	log      *zap.Logger
	reopen   atomic.Bool
	renamed  atomic.Pointer[error]                        // see Log.Renamed
	allocate func(f *os.File, offset, length int64) error // allocate, but in tests

	file     *os.File
	info     fs.FileInfo
	count    int       // files that were opened
	lines    int       // that are promised
	size     int64     // of the file
	reserved int64     // where reserved space ends
	unfit    bool      // the file system cannot reserve space
	lookedAt time.Time // when the path was looked at
}

// openFile opens the file of a log.
func openFile(path string, required bool, log *zap.Logger) (*logFile, error) {
	f := &logFile{path: path, required: required, log: log, allocate: allocate}
	if err := f.openNew(); err != nil {
		return nil, err
	}
	return f, nil
}

// openNew opens the file at the path, which is made if there is none. The file before it
// stays in use when that fails, or when the promised lines do not fit.
func (f *logFile) openNew() error {
	// Opening a pipe would wait for its reader.
	opened, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return notOpened(f.path, err)
	}
	next := &logFile{
		path:     f.path,
		required: f.required,
		allocate: f.allocate,
		file:     opened,
		lines:    f.lines,
		lookedAt: time.Now(),
	}
	if err := next.take(); err != nil {
		opened.Close()
		return err
	}
	before := f.file
	if before != nil {
		f.trim()
		before.Close()
	}
	f.file, f.info, f.size, f.reserved, f.unfit = next.file, next.info, next.size, next.reserved, next.unfit
	f.count++
	return nil
}

// take checks and locks a file that was opened, and reserves space in it.
func (f *logFile) take() (err error) {
	if f.info, err = f.file.Stat(); err != nil {
		return err
	}
	if !f.info.Mode().IsRegular() {
		return notRegular(f.path, f.info.Mode())
	}
	f.size = f.info.Size()
	if !f.required {
		f.endLine()
		return nil
	}
	err = unix.Flock(int(f.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return hint.With(errors.New("another process writes "+f.path), "give each instance a file of its own")
	}
	f.unfit = err != nil // it has no locks
	f.endLine()
	return f.reserve(f.lines)
}

// endLine ends a line that a process has written in part, so that the next one has a line of
// its own.
func (f *logFile) endLine() {
	file, err := os.Open(f.path)
	if err != nil {
		return // it may be written and not read
	}
	defer file.Close()
	last := []byte{'\n'}
	if _, err := file.ReadAt(last, f.size-1); err != nil || last[0] == '\n' {
		return
	}
	n, _ := f.file.Write([]byte{'\n'})
	f.size += int64(n)
}

// reserve implements sink. The space is allocated beyond the end of the file, which stays
// where it is (fallocate(2) with FALLOC_FL_KEEP_SIZE). Writes to it then need no more space:
// ext4 and XFS convert such extents from blocks that they keep for that, and tmpfs has
// the pages already. overlayfs passes it on to the file system of its upper directory. On
// btrfs the metadata of the write can still lack space. Where it is not supported, or not
// kept (ZFS, FUSE, NFS before 4.2), and for what else can go wrong, the Log keeps lines.
func (f *logFile) reserve(lines int) error {
	if !f.required {
		return nil
	}
	if err := f.look(); err != nil {
		return err
	}
	f.lines = lines
	need := f.size + int64(lines)*MaxLine
	if f.unfit || lines == 0 || need <= f.reserved {
		return nil
	}
	target := (need/reserveStep + 1) * reserveStep
	err := f.allocate(f.file, f.size, target-f.size)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		target = need // there may be less than a step
		err = f.allocate(f.file, f.size, target-f.size)
	}
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENODEV) {
		f.unfit = true
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "reserving space in", Path: f.path, Err: err}
	}
	f.reserved = target
	return nil
}

// write implements sink. What is in another file of a line is written again. Where each line is
// required, so is what went into a file that was removed before.
func (f *logFile) write(l *line) error {
	for {
		if err := f.look(); err != nil {
			return err
		}
		if l.file != f.count {
			l.done, l.file = 0, f.count
		}
		if l.done == len(l.text) {
			return nil
		}
		n, err := f.file.Write(l.text[l.done:])
		f.size += int64(n)
		l.done += n
		if err != nil {
			f.lookedAt = time.Time{} // the path may lead to another disk next time
			return err
		}
		if !f.required || f.hasName() {
			return nil
		}
		f.lookedAt = time.Time{}
	}
}

// look opens the file at the path if it is another one now. When that fails, the old file
// stays in use, as long as it has a name.
func (f *logFile) look() error {
	now := time.Now()
	asked := f.reopen.Swap(false)
	if since := now.Sub(f.lookedAt); !asked && since >= 0 && since < lookEvery {
		return nil
	}
	f.lookedAt = now
	info, err := os.Stat(f.path)
	if err == nil && os.SameFile(info, f.info) {
		f.resize(info.Size())
		f.noteRenamed(nil)
		return nil
	}
	if err = f.openNew(); err != nil && !f.hasName() {
		f.lookedAt = time.Time{}
		f.renamed.Store(nil)
		return err
	}
	f.noteRenamed(err)
	return nil
}

// noteRenamed notes why a file that was renamed stays in use; nil when none does.
func (f *logFile) noteRenamed(err error) {
	if err == nil {
		if f.renamed.Load() != nil && f.renamed.Swap(nil) != nil {
			f.log.Info("the audit log is written to its path again")
		}
		return
	}
	if f.renamed.Swap(&err) == nil {
		f.log.Warn("the audit log goes on in a file that was renamed, since no other can be opened",
			zap.Error(err), zap.String("hint", hint.Of(err)))
	}
}

// hasName reports whether the file that is open has a name. os.File.Stat would allocate.
func (f *logFile) hasName() bool {
	var stat unix.Stat_t
	return unix.Fstat(int(f.file.Fd()), &stat) == nil && stat.Nlink > 0
}

// resize notes the size that the file has. A file that was truncated has no reserved space.
func (f *logFile) resize(size int64) {
	if size < f.size {
		f.reserved = 0
	}
	f.size = size
}

// trim gives back the space beyond the end of the file.
func (f *logFile) trim() {
	if f.reserved == 0 {
		return
	}
	if info, err := f.file.Stat(); err == nil && info.Size() < f.reserved {
		f.file.Truncate(info.Size()) // else it stays allocated until the file is removed
	}
}

// close implements sink.
func (f *logFile) close() error {
	f.trim()
	return f.file.Close()
}
