package file

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// cuts is how many outcomes of a power cut are tried besides the worst.
const cuts = 30

func simFileOn(d disk) *File {
	return newFile(d, "/state", &presence{holder: newHolder("boot")}, "park")
}

// beforeSwap returns the two states in which a Swap finds the disk.
func beforeSwap(t *testing.T) map[string]*simDisk {
	t.Helper()
	written := newSimDisk()
	storetest.MustSwap(t, simFileOn(written), "", storetest.Record(1))
	return map[string]*simDisk{"no record": newSimDisk(), "a record": written.powerCut(nil)}
}

// swapSteps returns the steps of a Swap that goes well.
func swapSteps(t *testing.T, before *simDisk) []string {
	t.Helper()
	d := before.copy()
	storetest.MustSwap(t, simFileOn(d), stored(t, d), storetest.Record(2))
	return d.steps
}

// stored returns the version on the disk, "" when there is no record, without
// a trace on d. It fails when what is there is neither none nor whole.
func stored(t *testing.T, d *simDisk) tokens.Version {
	t.Helper()
	look := *d
	look.stopped, look.fault = false, nil
	version, err := simFileOn(&look).version()
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// eachCut calls test with the disk after power cuts of many outcomes, the
// worst first.
func eachCut(d *simDisk, test func(name string, after *simDisk)) {
	test("power cut that loses all", d.powerCut(nil))
	for seed := range uint64(cuts) {
		test(fmt.Sprintf("power cut %d", seed), d.powerCut(rand.New(rand.NewPCG(seed, 0))))
	}
}

// TestPowerCutDuringSwap cuts the power before each step of a Swap and after
// the last: the old record is found or the new one, whole, and the new one if
// Swap had returned.
func TestPowerCutDuringSwap(t *testing.T) {
	t.Parallel()
	for name, before := range beforeSwap(t) {
		old, next := stored(t, before), versionOf(storetest.Encode(t, storetest.Record(2)))
		steps := swapSteps(t, before)
		for at := range len(steps) + 1 {
			d := before.copy()
			d.fault = faultAt(at, stop)
			_, err := simFileOn(d).Swap(t.Context(), old, storetest.Record(2))
			if returned := at >= slices.Index(steps, "unlock"); returned != (err == nil) {
				t.Fatalf("%s, step %d: error %v", name, at, err)
			}
			eachCut(d, func(cut string, after *simDisk) {
				got := stored(t, after)
				if got != next && (err == nil || got != old) {
					t.Errorf("%s, %s before step %d of %v: version %.8q is found; Swap %.8q to %.8q had said: %v",
						name, cut, at, steps, got, old, next, err)
				}
			})
		}
	}
}

// TestFaultDuringSwap has each step of a Swap fail, in each combination of
// what is said and what happened, and holds Swap to its word, also over a
// power cut: nil is the new record, a plain error the old one, ErrUnknown
// either.
func TestFaultDuringSwap(t *testing.T) {
	t.Parallel()
	for name, before := range beforeSwap(t) {
		steps := swapSteps(t, before)
		for at, op := range steps {
			for _, fate := range fatesOf(op) {
				old, next := stored(t, before), versionOf(storetest.Encode(t, storetest.Record(2)))
				d := before.copy()
				d.fault = faultAt(at, fate)
				_, err := simFileOn(d).Swap(t.Context(), old, storetest.Record(2))
				story := fmt.Sprintf("%s, step %d, %s, says %v, happens %t", name, at, op, fate.says, fate.happens)
				allowed := outcomes(t, story, err, old, next)
				requireOneOf(t, story, stored(t, d), allowed)
				eachCut(d, func(cut string, after *simDisk) {
					requireOneOf(t, story+", "+cut, stored(t, after), allowed)
				})
				if left := temporary(d); err != nil && fate.says != nil && left != "" {
					t.Errorf("%s: %s is left", story, left)
				}
			}
		}
	}
}

// TestFullDisk: a person is told what to do about a full disk, and where.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	d := newSimDisk()
	d.fault = func(op string) fate {
		if op == "write" {
			return fate{says: syscall.ENOSPC, goesOn: true}
		}
		return fine
	}
	f := simFileOn(d)
	_, err := f.Swap(t.Context(), "", storetest.Record(1))
	requirePlain(t, err, "saving state", syscall.ENOSPC.Error(), f.path())
}

// TestRefusedRename: a rename that fails and did not happen is a plain error,
// unless the temporary file cannot be got out of a late rename's way.
func TestRefusedRename(t *testing.T) {
	t.Parallel()
	for _, stuck := range []bool{false, true} {
		d := beforeSwap(t)["a record"]
		d.fault = func(op string) fate {
			if op == "rename" || op == "remove" && stuck {
				return fate{says: syscall.EIO, goesOn: true}
			}
			return fine
		}
		_, err := simFileOn(d).Swap(t.Context(), stored(t, d), storetest.Record(2))
		if !errors.Is(err, syscall.EIO) || errors.Is(err, tokens.ErrUnknown) != stuck {
			t.Errorf("temporary file stuck %t: error %v", stuck, err)
		}
	}
}

// TestHistories lives through long histories of a record in which anything
// goes wrong: steps that fail, in one call several, processes that are killed,
// and power cuts. At each moment only the versions that the promises allow may
// be found, and what Load has returned is durable.
func TestHistories(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		d := newSimDisk()
		f := simFileOn(d)
		allowed := []tokens.Version{""}
		for generation := range uint64(25) {
			story := fmt.Sprintf("history %d, generation %d", seed, generation)
			d.fault = faultsAmong(random)
			old := stored(t, d)
			switch random.IntN(3) {
			case 0:
				if _, version, err := f.Load(t.Context()); err == nil {
					requireOneOf(t, story+", Load", version, allowed)
					allowed = []tokens.Version{version}
				} else if errors.Is(err, tokens.ErrNone) && !slices.Contains(allowed, "") {
					t.Errorf("%s: Load says ErrNone, the record is lost", story)
				}
			default:
				next := versionOf(storetest.Encode(t, storetest.Record(generation)))
				_, err := f.Swap(t.Context(), old, storetest.Record(generation))
				switch {
				case d.stopped, errors.Is(err, tokens.ErrUnknown):
					allowed = append(allowed, next)
				case err == nil:
					allowed = []tokens.Version{next}
				case errors.Is(err, tokens.ErrConflict):
					t.Errorf("%s: conflict of a process with itself", story)
				}
			}
			if d.stopped || random.IntN(8) == 0 {
				if random.IntN(2) == 0 {
					d = d.powerCut(random)
				}
				d.restart()
				f = simFileOn(d)
			}
			d.fault = nil
			requireOneOf(t, story, stored(t, d), allowed)
			requireOneOf(t, story+", power cut", stored(t, d.powerCut(nil)), allowed)
			if t.Failed() {
				return
			}
			d.restart()
		}
	}
}

// TestLoadOfAnUnsyncedRename: a record whose writer was killed before it had
// synced the directory is not shown before it is durable.
func TestLoadOfAnUnsyncedRename(t *testing.T) {
	t.Parallel()
	d := beforeSwap(t)["a record"]
	d.fault = faultOn("sync directory", stop)
	if _, err := simFileOn(d).Swap(t.Context(), stored(t, d), storetest.Record(2)); !d.stopped {
		t.Fatalf("the process was not killed: %v", err)
	}
	d.restart()
	d.fault = faultOn("sync directory", fate{says: syscall.EIO, goesOn: true})
	f := simFileOn(d)
	if _, _, err := f.Load(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Errorf("Load of what cannot be made durable: %v, want EIO", err)
	}
	d.fault = nil
	if got := storetest.MustLoad(t, f).Record.Generation; got != 2 {
		t.Errorf("generation %d, want 2", got)
	}
	if got := stored(t, d.powerCut(nil)); got != versionOf(storetest.Encode(t, storetest.Record(2))) {
		t.Error("a record that Load had returned is lost")
	}
	d.steps = nil
	storetest.MustLoad(t, f)
	if slices.Contains(d.steps, "sync directory") {
		t.Errorf("Load of the same record syncs again: %v", d.steps)
	}
}

// TestContextDoneUnderTheLock: once the lock is held, the work is finished.
func TestContextDoneUnderTheLock(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	d := newSimDisk()
	d.fault = func(op string) fate {
		if op == "lock" {
			cancel()
		}
		return fine
	}
	if _, err := simFileOn(d).Swap(ctx, "", storetest.Record(1)); err != nil {
		t.Error(err)
	}
}

// fatesOf returns how a step can go other than well. A disk that says nil of a
// write or a sync and does nothing cannot be told from one that works, and what
// does not happen at an open has no result to lie about.
func fatesOf(op string) []fate {
	var fates []fate
	for _, err := range []error{syscall.EIO, syscall.ENOSPC} {
		fates = append(fates,
			fate{says: err, happens: false, goesOn: true},
			fate{says: err, happens: true, goesOn: true})
	}
	switch op {
	case "rename", "remove", "close", "unlock":
		fates = append(fates, fate{says: nil, happens: false, goesOn: true})
	}
	return append(fates, fine)
}

func faultAt(at int, f fate) func(string) fate {
	step := -1
	return func(string) fate {
		if step++; step == at {
			return f
		}
		return fine
	}
}

func faultOn(op string, f fate) func(string) fate {
	return func(got string) fate {
		if got == op {
			return f
		}
		return fine
	}
}

func faultsAmong(random *rand.Rand) func(string) fate {
	often := []int{0, 3, 30}[random.IntN(3)] // in a hundred
	return func(op string) fate {
		switch n := random.IntN(100); {
		case n < often:
			fates := fatesOf(op)
			return fates[random.IntN(len(fates))]
		case n < often+3:
			return stop
		}
		return fine
	}
}

// outcomes returns the versions that may be found after Swap has returned err.
func outcomes(t *testing.T, story string, err error, old, next tokens.Version) []tokens.Version {
	t.Helper()
	switch {
	case err == nil:
		return []tokens.Version{next}
	case errors.Is(err, tokens.ErrUnknown):
		return []tokens.Version{old, next}
	case errors.Is(err, tokens.ErrConflict):
		t.Errorf("%s: conflict with nobody", story)
	}
	return []tokens.Version{old}
}

func requireOneOf(t *testing.T, story string, got tokens.Version, allowed []tokens.Version) {
	t.Helper()
	if !slices.Contains(allowed, got) {
		t.Errorf("%s: version %.8q is found, allowed: %.8q", story, got, allowed)
	}
}

// temporary returns the name of a temporary file on the disk.
func temporary(d *simDisk) string {
	for name := range d.dir {
		if strings.HasSuffix(name, ".tmp") {
			return name
		}
	}
	return ""
}
