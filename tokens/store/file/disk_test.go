package file

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
)

// errKilled is the error of every step after the process was killed.
var errKilled = errors.New("process has ended")

// A simDisk is a disk that loses unsynced data at a power cut, and on which any step can
// fail. It is for one goroutine.
type simDisk struct {
	dir     map[string]*simFile // the files that processes see
	durable map[string]*simFile // the files at the last sync
	pending []change            // the changes since the last sync
	locked  map[string]bool
	killed  bool // whether the process was killed; further steps have no effect

	steps []string                   // the steps so far
	fault func(op string) stepResult // returns the result of the next step; nil for no faults
}

type simFile struct{ data, durable []byte }

// A change is a change of the directory. As in a journalled file system, each change, also
// a rename, is atomic.
type change func(dir map[string]*simFile)

// A stepResult is the result of a step: whether it has its effect, and the error that it
// returns. The zero stepResult kills the process before the step.
type stepResult struct {
	happens   bool
	err       error
	continues bool
}

var (
	succeed = stepResult{happens: true, continues: true}
	kill    = stepResult{}
)

func newSimDisk() *simDisk {
	return &simDisk{
		dir:     map[string]*simFile{},
		durable: map[string]*simFile{},
		locked:  map[string]bool{},
	}
}

func (d *simDisk) step(op string, effect func() error) error {
	if d.killed {
		return errKilled
	}
	d.steps = append(d.steps, op)
	result := succeed
	if d.fault != nil {
		result = d.fault(op)
	}
	if !result.continues {
		d.killed = true
		return errKilled
	}
	if result.happens {
		if err := effect(); err != nil {
			return err
		}
	}
	return result.err
}

func (d *simDisk) change(c change) {
	c(d.dir)
	d.pending = append(d.pending, c)
}

func (d *simDisk) ensure() error { return nil }

func (d *simDisk) create(name string) (handle, error) {
	f := &simFile{}
	err := d.step("create", func() error {
		if d.dir[name] != nil {
			return fs.ErrExist
		}
		d.change(func(dir map[string]*simFile) { dir[name] = f })
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &simHandle{disk: d, file: f}, nil
}

func (d *simDisk) open(name string) (handle, error) {
	var h *simHandle
	err := d.step("open", func() error {
		f := d.dir[name]
		if f == nil {
			return fs.ErrNotExist
		}
		h = &simHandle{disk: d, file: f, rest: bytes.NewReader(f.data)}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// lock leaves no lock when it fails, because closing the file releases it.
func (d *simDisk) lock(name string) (io.Closer, error) {
	err := d.step("lock", func() error {
		if d.locked[name] {
			return errLocked
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	d.locked[name] = true
	return simLock{d, name}, nil
}

func (d *simDisk) rename(from, to string) error {
	return d.step("rename", func() error {
		f := d.dir[from]
		if f == nil {
			return fs.ErrNotExist
		}
		d.change(func(dir map[string]*simFile) {
			delete(dir, from)
			dir[to] = f
		})
		return nil
	})
}

func (d *simDisk) remove(name string) error {
	return d.step("remove", func() error {
		if d.dir[name] == nil {
			return fs.ErrNotExist
		}
		d.change(func(dir map[string]*simFile) { delete(dir, name) })
		return nil
	})
}

func (d *simDisk) sync() error {
	return d.step("sync directory", func() error {
		d.durable = maps.Clone(d.dir)
		d.pending = nil
		return nil
	})
}

// restart ends the process that uses the disk. Its locks are released. The data that it
// wrote stays, synced or not.
func (d *simDisk) restart() {
	clear(d.locked)
	d.killed, d.fault, d.steps = false, nil, nil
}

// powerCut returns the disk after a power cut, and does not change d. If random is nil, all
// unsynced data is lost. Otherwise each change of the directory since its last sync is kept
// or lost, and each unsynced content is the old one, the new one, truncated, or zeros.
func (d *simDisk) powerCut(random *rand.Rand) *simDisk {
	dir := maps.Clone(d.durable)
	for _, change := range d.pending {
		if random != nil && random.IntN(2) == 0 {
			change(dir)
		}
	}
	after := newSimDisk()
	for _, name := range slices.Sorted(maps.Keys(dir)) {
		data := dir[name].afterCut(random)
		after.dir[name] = &simFile{data, data}
	}
	after.durable = maps.Clone(after.dir)
	return after
}

func (f *simFile) afterCut(random *rand.Rand) []byte {
	if random == nil || bytes.Equal(f.data, f.durable) {
		return f.durable
	}
	return [][]byte{
		f.durable,
		f.data,
		f.data[:random.IntN(len(f.data)+1)],
		make([]byte, len(f.data)),
	}[random.IntN(4)]
}

// copy returns a copy of a synced disk.
func (d *simDisk) copy() *simDisk { return d.powerCut(nil) }

type simHandle struct {
	disk *simDisk
	file *simFile
	rest *bytes.Reader
}

func (h *simHandle) Read(p []byte) (n int, err error) {
	// An end of file is not a fault, so it is not part of the step's result.
	stepErr := h.disk.step("read", func() error {
		n, err = h.rest.Read(p)
		return nil
	})
	if stepErr != nil {
		return 0, stepErr
	}
	return n, err
}

// Write writes half of p when it fails.
func (h *simHandle) Write(p []byte) (int, error) {
	written := 0
	err := h.disk.step("write", func() error {
		h.file.data = slices.Concat(h.file.data, p)
		written = len(p)
		return nil
	})
	if err != nil && written == 0 && !h.disk.killed {
		written = len(p) / 2
		h.file.data = slices.Concat(h.file.data, p[:written])
	}
	return written, err
}

func (h *simHandle) Sync() error {
	return h.disk.step("sync file", func() error {
		h.file.durable = h.file.data
		return nil
	})
}

func (h *simHandle) Close() error {
	return h.disk.step("close", func() error { return nil })
}

type simLock struct {
	disk *simDisk
	name string
}

func (l simLock) Close() error {
	return l.disk.step("unlock", func() error {
		delete(l.disk.locked, l.name)
		return nil
	})
}
