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

// powerCuts is how many random outcomes of a power cut are tested besides the worst.
const powerCuts = 30

func newSimFile(d disk) *File {
	return newFile(d, "/state", &presence{holder: newHolder("boot")}, "park")
}

// beforeSwap returns the disks before a Swap: without and with a record.
func beforeSwap(t *testing.T) map[string]*simDisk {
	t.Helper()
	written := newSimDisk()
	storetest.MustSwap(t, newSimFile(written), "", storetest.Record(1))
	return map[string]*simDisk{"no record": newSimDisk(), "a record": written.powerCut(nil)}
}

// swapSteps returns the steps of a successful Swap.
func swapSteps(t *testing.T, before *simDisk) []string {
	t.Helper()
	d := before.copy()
	storetest.MustSwap(t, newSimFile(d), stored(t, d), storetest.Record(2))
	return d.steps
}

// stored returns the version on the disk, "" when there is no record. It does not change d.
// It fails the test if the record is damaged.
func stored(t *testing.T, d *simDisk) tokens.Version {
	t.Helper()
	view := *d
	view.killed, view.fault = false, nil
	version, err := newSimFile(&view).version()
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// eachCut calls test with the disk after power cuts with many outcomes, the worst first.
func eachCut(d *simDisk, test func(name string, after *simDisk)) {
	test("power cut that loses all", d.powerCut(nil))
	for seed := range uint64(powerCuts) {
		test(fmt.Sprintf("power cut %d", seed), d.powerCut(rand.New(rand.NewPCG(seed, 0))))
	}
}

// TestPowerCutDuringSwap cuts the power before each step of a Swap and after the last.
// Afterwards the disk has the complete old record or the complete new one, and the new one
// if Swap had returned.
func TestPowerCutDuringSwap(t *testing.T) {
	t.Parallel()
	for name, before := range beforeSwap(t) {
		old, next := stored(t, before), versionOf(storetest.Encode(t, storetest.Record(2)))
		steps := swapSteps(t, before)
		for at := range len(steps) + 1 {
			d := before.copy()
			d.fault = faultAt(at, kill)
			_, err := newSimFile(d).Swap(t.Context(), old, storetest.Record(2))
			if returned := at >= slices.Index(steps, "unlock"); returned != (err == nil) {
				t.Fatalf("%s, step %d: error %v", name, at, err)
			}
			eachCut(d, func(cut string, after *simDisk) {
				got := stored(t, after)
				if got != next && (err == nil || got != old) {
					t.Errorf("%s, %s before step %d of %v: version %.8q is found; Swap %.8q to %.8q had returned: %v",
						name, cut, at, steps, got, old, next, err)
				}
			})
		}
	}
}

// TestFaultDuringSwap makes each step of a Swap fail, in each combination of the returned
// error and the effect. It checks the result of Swap, also after a power cut: nil means the
// new record, ErrUnknown means either, any other error means the old record.
func TestFaultDuringSwap(t *testing.T) {
	t.Parallel()
	for name, before := range beforeSwap(t) {
		steps := swapSteps(t, before)
		for at, op := range steps {
			for _, result := range stepResultsOf(op) {
				old, next := stored(t, before), versionOf(storetest.Encode(t, storetest.Record(2)))
				d := before.copy()
				d.fault = faultAt(at, result)
				_, err := newSimFile(d).Swap(t.Context(), old, storetest.Record(2))
				label := fmt.Sprintf("%s, step %d, %s, error %v, happens %t", name, at, op, result.err, result.happens)
				allowed := allowedVersions(t, label, err, old, next)
				requireOneOf(t, label, stored(t, d), allowed)
				eachCut(d, func(cut string, after *simDisk) {
					requireOneOf(t, label+", "+cut, stored(t, after), allowed)
				})
				if left := temporary(d); err != nil && result.err != nil && left != "" {
					t.Errorf("%s: %s is left", label, left)
				}
			}
		}
	}
}

// TestFullDisk tests that the error of a full disk names the file.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	d := newSimDisk()
	d.fault = func(op string) stepResult {
		if op == "write" {
			return stepResult{err: syscall.ENOSPC, continues: true}
		}
		return succeed
	}
	f := newSimFile(d)
	_, err := f.Swap(t.Context(), "", storetest.Record(1))
	requirePlain(t, err, "saving state", syscall.ENOSPC.Error(), f.path())
}

// TestRefusedRename tests that a failed rename is not ErrUnknown, unless the temporary file
// cannot be removed, so that a late rename remains possible.
func TestRefusedRename(t *testing.T) {
	t.Parallel()
	for _, stuck := range []bool{false, true} {
		d := beforeSwap(t)["a record"]
		d.fault = func(op string) stepResult {
			if op == "rename" || op == "remove" && stuck {
				return stepResult{err: syscall.EIO, continues: true}
			}
			return succeed
		}
		_, err := newSimFile(d).Swap(t.Context(), stored(t, d), storetest.Record(2))
		if !errors.Is(err, syscall.EIO) || errors.Is(err, tokens.ErrUnknown) != stuck {
			t.Errorf("temporary file stuck %t: error %v", stuck, err)
		}
	}
}

// TestHistories runs long random histories of a record with failing steps, also several in
// one call, killed processes, and power cuts. At each moment the disk may have only the
// versions that the contract allows, and a version that Load has returned is durable.
func TestHistories(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		d := newSimDisk()
		f := newSimFile(d)
		allowed := []tokens.Version{""}
		for generation := range uint64(25) {
			label := fmt.Sprintf("history %d, generation %d", seed, generation)
			d.fault = faultsAmong(random)
			old := stored(t, d)
			switch random.IntN(3) {
			case 0:
				if _, version, err := f.Load(t.Context()); err == nil {
					requireOneOf(t, label+", Load", version, allowed)
					allowed = []tokens.Version{version}
				} else if errors.Is(err, tokens.ErrNone) && !slices.Contains(allowed, "") {
					t.Errorf("%s: Load returned ErrNone, the record is lost", label)
				}
			default:
				next := versionOf(storetest.Encode(t, storetest.Record(generation)))
				_, err := f.Swap(t.Context(), old, storetest.Record(generation))
				switch {
				case d.killed, errors.Is(err, tokens.ErrUnknown):
					allowed = append(allowed, next)
				case err == nil:
					allowed = []tokens.Version{next}
				case errors.Is(err, tokens.ErrConflict):
					t.Errorf("%s: conflict of a process with itself", label)
				}
			}
			if d.killed || random.IntN(8) == 0 {
				if random.IntN(2) == 0 {
					d = d.powerCut(random)
				}
				d.restart()
				f = newSimFile(d)
			}
			d.fault = nil
			requireOneOf(t, label, stored(t, d), allowed)
			requireOneOf(t, label+", power cut", stored(t, d.powerCut(nil)), allowed)
			if t.Failed() {
				return
			}
			d.restart()
		}
	}
}

// TestLoadOfAnUnsyncedRename tests that Load syncs a record whose writer was killed before
// it had synced the directory.
func TestLoadOfAnUnsyncedRename(t *testing.T) {
	t.Parallel()
	d := beforeSwap(t)["a record"]
	d.fault = faultOn("sync directory", kill)
	if _, err := newSimFile(d).Swap(t.Context(), stored(t, d), storetest.Record(2)); !d.killed {
		t.Fatalf("the process was not killed: %v", err)
	}
	d.restart()
	d.fault = faultOn("sync directory", stepResult{err: syscall.EIO, continues: true})
	f := newSimFile(d)
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

// TestContextDoneUnderTheLock tests that Swap ignores ctx once it holds the lock.
func TestContextDoneUnderTheLock(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	d := newSimDisk()
	d.fault = func(op string) stepResult {
		if op == "lock" {
			cancel()
		}
		return succeed
	}
	if _, err := newSimFile(d).Swap(ctx, "", storetest.Record(1)); err != nil {
		t.Error(err)
	}
}

// stepResultsOf returns the results of a step to test. It leaves out nil without an effect
// for a write or a sync, which nothing can detect, and for an open, which must return a
// file.
func stepResultsOf(op string) []stepResult {
	var results []stepResult
	for _, err := range []error{syscall.EIO, syscall.ENOSPC} {
		results = append(results,
			stepResult{err: err, happens: false, continues: true},
			stepResult{err: err, happens: true, continues: true})
	}
	switch op {
	case "rename", "remove", "close", "unlock":
		results = append(results, stepResult{err: nil, happens: false, continues: true})
	}
	return append(results, succeed)
}

func faultAt(at int, r stepResult) func(string) stepResult {
	step := -1
	return func(string) stepResult {
		if step++; step == at {
			return r
		}
		return succeed
	}
}

func faultOn(op string, r stepResult) func(string) stepResult {
	return func(got string) stepResult {
		if got == op {
			return r
		}
		return succeed
	}
}

func faultsAmong(random *rand.Rand) func(string) stepResult {
	often := []int{0, 3, 30}[random.IntN(3)] // percent
	return func(op string) stepResult {
		switch n := random.IntN(100); {
		case n < often:
			results := stepResultsOf(op)
			return results[random.IntN(len(results))]
		case n < often+3:
			return kill
		}
		return succeed
	}
}

// allowedVersions returns the versions that may be on the disk after Swap returned err.
func allowedVersions(t *testing.T, label string, err error, old, next tokens.Version) []tokens.Version {
	t.Helper()
	switch {
	case err == nil:
		return []tokens.Version{next}
	case errors.Is(err, tokens.ErrUnknown):
		return []tokens.Version{old, next}
	case errors.Is(err, tokens.ErrConflict):
		t.Errorf("%s: conflict without another writer", label)
	}
	return []tokens.Version{old}
}

func requireOneOf(t *testing.T, label string, got tokens.Version, allowed []tokens.Version) {
	t.Helper()
	if !slices.Contains(allowed, got) {
		t.Errorf("%s: version %.8q is found, allowed: %.8q", label, got, allowed)
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
