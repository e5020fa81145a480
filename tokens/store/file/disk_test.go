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

// errStopped is what a process sees of the disk once it is no more.
var errStopped = errors.New("process has ended")

// A simDisk is a disk that forgets at a power cut what was not synced, and on
// which any step can go wrong. It is for one goroutine.
type simDisk struct {
	dir     map[string]*simFile // as processes see it
	durable map[string]*simFile // as it was last synced
	pending []change            // what was done to dir since
	locked  map[string]bool
	stopped bool // the process: nothing that it does has an effect

	steps []string             // what was done, in order
	fault func(op string) fate // what becomes of the next step; nil is nothing unusual
}

type simFile struct{ data, durable []byte }

// A change of the directory; as in every journalled file system, each happens
// wholly or not at all, a rename included.
type change func(dir map[string]*simFile)

// A fate is what becomes of a step: whether it happens, and what is said of
// it. The zero fate is that the process ends before the step.
type fate struct {
	happens bool
	says    error
	goesOn  bool
}

var (
	fine = fate{happens: true, goesOn: true}
	stop = fate{}
)

func newSimDisk() *simDisk {
	return &simDisk{
		dir:     map[string]*simFile{},
		durable: map[string]*simFile{},
		locked:  map[string]bool{},
	}
}

func (d *simDisk) step(op string, effect func() error) error {
	if d.stopped {
		return errStopped
	}
	d.steps = append(d.steps, op)
	fate := fine
	if d.fault != nil {
		fate = d.fault(op)
	}
	if !fate.goesOn {
		d.stopped = true
		return errStopped
	}
	if fate.happens {
		if err := effect(); err != nil {
			return err
		}
	}
	return fate.says
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

// lock that fails leaves no lock: closing the file releases it.
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

// restart ends the process that uses the disk: its locks go, and what it wrote
// stays, synced or not.
func (d *simDisk) restart() {
	clear(d.locked)
	d.stopped, d.fault, d.steps = false, nil, nil
}

// powerCut returns the disk as it is found after a power cut, d staying as it
// is. A nil random loses all that was not synced. Otherwise each change of the
// directory since its last sync is kept or lost, and each content which was not
// synced is what it was, whole, truncated, or zeros.
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

// copy returns a disk in the same state, for another attempt.
func (d *simDisk) copy() *simDisk { return d.powerCut(nil) }

type simHandle struct {
	disk *simDisk
	file *simFile
	rest *bytes.Reader
}

func (h *simHandle) Read(p []byte) (n int, err error) {
	// An end of file is no fault, so it is left out of the step's outcome.
	stepErr := h.disk.step("read", func() error {
		n, err = h.rest.Read(p)
		return nil
	})
	if stepErr != nil {
		return 0, stepErr
	}
	return n, err
}

// Write that fails has written half.
func (h *simHandle) Write(p []byte) (int, error) {
	written := 0
	err := h.disk.step("write", func() error {
		h.file.data = slices.Concat(h.file.data, p)
		written = len(p)
		return nil
	})
	if err != nil && written == 0 && !h.disk.stopped {
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
