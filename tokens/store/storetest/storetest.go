// Package storetest tests the contract of tokens.Store. The tests of every store call
// [Run].
package storetest

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"ticketproxy/tokens"
)

// Run tests the contract of tokens.Store. Each call of open makes two handles, like those
// of two processes, on one record that does not exist.
func Run(t *testing.T, open func(t *testing.T) (a, b tokens.Store)) {
	for name, test := range map[string]func(*testing.T, tokens.Store, tokens.Store){
		"a first record is written":                     testBegin,
		"every field is kept":                           testFields,
		"records share no memory":                       testValues,
		"a stale version conflicts":                     testConflict,
		"versions tell records apart":                   testVersions,
		"no update is lost":                             testNoLostUpdate,
		"one of many first writers wins":                testFirstWriter,
		"a done ctx changes nothing":                    testDone,
		"a record that cannot be encoded loses nothing": testNotEncodable,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := open(t)
			test(t, a, b)
		})
	}
}

func testBegin(t *testing.T, a, b tokens.Store) {
	for _, s := range []tokens.Store{a, b} {
		_, version, err := s.Load(t.Context())
		if !errors.Is(err, tokens.ErrNone) || version != "" {
			t.Fatalf("Load of no record: version %q, error %v, want none and ErrNone", version, err)
		}
	}
	if _, err := a.Swap(t.Context(), "some-version", Record(1)); !errors.Is(err, tokens.ErrConflict) {
		t.Fatalf("Swap of a version of no record: %v, want ErrConflict", err)
	}
	version := MustSwap(t, a, "", Record(1))
	if version == "" {
		t.Fatal("version of a record is empty")
	}
	for _, s := range []tokens.Store{a, b} {
		if got := MustLoad(t, s); got.Version != version {
			t.Errorf("Load: version %q, want %q as Swap returned", got.Version, version)
		}
		if _, err := s.Swap(t.Context(), "", Record(2)); !errors.Is(err, tokens.ErrConflict) {
			t.Errorf("Swap from no record over a record: %v, want ErrConflict", err)
		}
	}
}

func testFields(t *testing.T, a, b tokens.Store) {
	want := FullRecord()
	requireFull(t, "Record", reflect.ValueOf(want))
	MustSwap(t, a, "", want)
	for _, s := range []tokens.Store{a, b} {
		if got := MustLoad(t, s).Record; !reflect.DeepEqual(got, want) {
			t.Errorf("Load after Swap:\n%s\nwant\n%s", Encode(t, got), Encode(t, want))
		}
	}
	version := MustLoad(t, b).Version
	MustSwap(t, b, version, tokens.Record{})
	if got := MustLoad(t, a).Record; !reflect.DeepEqual(got, tokens.Record{}) {
		t.Errorf("Load of the zero record: %s", Encode(t, got))
	}
}

func testValues(t *testing.T, a, _ tokens.Store) {
	given := FullRecord()
	MustSwap(t, a, "", given)
	given.Intent.ID, given.Spent[0] = "changed", "changed"
	loaded := MustLoad(t, a).Record
	loaded.Dead.Reason, loaded.Spent[0] = "changed", "changed"
	if got := MustLoad(t, a).Record; !reflect.DeepEqual(got, FullRecord()) {
		t.Errorf("a caller's change of its copy reached the store: %s", Encode(t, got))
	}
}

func testConflict(t *testing.T, a, b tokens.Store) {
	first := MustSwap(t, a, "", Record(1))
	second := MustSwap(t, b, first, Record(2))
	for _, s := range []tokens.Store{a, b} {
		if _, err := s.Swap(t.Context(), first, Record(3)); !errors.Is(err, tokens.ErrConflict) {
			t.Errorf("Swap of a stale version: %v, want ErrConflict", err)
		}
		got := MustLoad(t, s)
		if got.Record.Generation != 2 || got.Version != second {
			t.Errorf("after a conflict: generation %d, version %q, want 2, %q",
				got.Record.Generation, got.Version, second)
		}
	}
}

func testVersions(t *testing.T, a, b tokens.Store) {
	seen := map[tokens.Version]bool{}
	version := tokens.Version("")
	for generation := range uint64(5) {
		version = MustSwap(t, a, version, Record(generation))
		if seen[version] {
			t.Errorf("version %q names two records", version)
		}
		seen[version] = true
		if x, y := MustLoad(t, a), MustLoad(t, b); x.Version != version || y.Version != version {
			t.Errorf("versions of one record: %q, %q, want %q", x.Version, y.Version, version)
		}
	}
}

func testNoLostUpdate(t *testing.T, a, b tokens.Store) {
	const writers, updates = 4, 4 // for each handle, for each writer
	MustSwap(t, a, "", Record(0))
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		wrote = map[uint64]int{}
	)
	for i := range 2 * writers {
		s := []tokens.Store{a, b}[i%2]
		group.Go(func() {
			for range updates {
				generation, err := Increment(t.Context(), s)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				wrote[generation]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for generation, times := range wrote {
		if times != 1 {
			t.Errorf("generation %d was written %d times", generation, times)
		}
	}
	if got := MustLoad(t, a).Record.Generation; got != 2*writers*updates {
		t.Errorf("generation %d after %d updates", got, 2*writers*updates)
	}
}

func testFirstWriter(t *testing.T, a, b tokens.Store) {
	const writers = 8
	var group sync.WaitGroup
	won := make(chan uint64, writers)
	for i := range uint64(writers) {
		s := []tokens.Store{a, b}[i%2]
		group.Go(func() {
			switch _, err := s.Swap(t.Context(), "", Record(i)); {
			case err == nil:
				won <- i
			case !errors.Is(err, tokens.ErrConflict):
				t.Error(err)
			}
		})
	}
	group.Wait()
	if len(won) != 1 {
		t.Fatalf("%d writers made the record first, want 1", len(won))
	}
	if got, want := MustLoad(t, b).Record.Generation, <-won; got != want {
		t.Errorf("the record is writer %d's, but Swap succeeded for writer %d", got, want)
	}
}

func testDone(t *testing.T, a, b tokens.Store) {
	version := MustSwap(t, a, "", Record(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := a.Swap(ctx, version, Record(2))
	if !errors.Is(err, context.Canceled) || errors.Is(err, tokens.ErrUnknown) || errors.Is(err, tokens.ErrConflict) {
		t.Errorf("Swap with a done ctx: %v, want a plain context.Canceled", err)
	}
	if _, _, err := a.Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Load with a done ctx: %v, want context.Canceled", err)
	}
	if got := MustLoad(t, b); got.Version != version {
		t.Errorf("generation %d was written for a done ctx", got.Record.Generation)
	}
}

func testNotEncodable(t *testing.T, a, b tokens.Store) {
	version := MustSwap(t, a, "", Record(1))
	bad := Record(2)
	bad.NotBefore = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC) // RFC 3339 ends at 9999
	_, err := a.Swap(t.Context(), version, bad)
	if err == nil || errors.Is(err, tokens.ErrUnknown) || errors.Is(err, tokens.ErrConflict) {
		t.Errorf("Swap of what cannot be encoded: %v, want a plain error", err)
	}
	if got := MustLoad(t, b); got.Version != version {
		t.Errorf("version %q, want %q still", got.Version, version)
	}
}

// Loaded is a record with its version.
type Loaded struct {
	Record  tokens.Record
	Version tokens.Version
}

// MustLoad loads the record, and fails the test if that fails.
func MustLoad(t *testing.T, s tokens.Store) Loaded {
	t.Helper()
	r, version, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return Loaded{r, version}
}

// MustSwap replaces the record, and fails the test if that fails.
func MustSwap(t *testing.T, s tokens.Store, old tokens.Version, next tokens.Record) tokens.Version {
	t.Helper()
	version, err := s.Swap(t.Context(), old, next)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// Increment adds 1 to the generation. It retries after conflicts.
func Increment(ctx context.Context, s tokens.Store) (uint64, error) {
	for {
		r, version, err := s.Load(ctx)
		if err != nil {
			return 0, err
		}
		if _, err = s.Swap(ctx, version, Record(r.Generation+1)); err == nil {
			return r.Generation + 1, nil
		}
		if !errors.Is(err, tokens.ErrConflict) {
			return 0, err
		}
	}
}
