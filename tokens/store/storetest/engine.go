package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// An Engine is a real engine that keeps records, with what can befall it. A place is a name
// in lower case, of an own record of one account.
type Engine struct {
	// Open returns another handle on a place's record, like that of another process. The
	// engine is reached by an address, or directly if that is "".
	Open func(t *testing.T, place, address string) tokens.Store
	// Addr is HOST:PORT of the engine.
	Addr string
	// Kill ends the engine without warning. Start starts it again, with its data.
	Kill, Start func(t *testing.T)
	// Backup copies the data of the engine, which is stopped for it. Restore goes back to
	// the copy.
	Backup, Restore func(t *testing.T)
	// Put stores a text in place of a record, as an administrator may.
	Put func(t *testing.T, place, text string)
	// Touch changes what is stored beside a record, and not the record.
	Touch func(t *testing.T, place string)
	// Step is in how many bytes of the engine's answers a connection is cut, one after the
	// other.
	Step int64
}

// RunEngine tests the contract of tokens.Store while the engine fails. The engine is used
// for nothing else meanwhile.
func RunEngine(t *testing.T, e Engine) {
	lost := int64(-1) // after how many bytes the answer to a write is lost
	for _, test := range []struct {
		name string
		run  func(*testing.T, Engine)
	}{
		{"a write whose answer is lost", func(t *testing.T, e Engine) { lost = testLostAnswers(t, e) }},
		{"an engine that does not answer", func(t *testing.T, e Engine) { testStalled(t, e, lost) }},
		{"an engine that is killed", testKilled},
		{"an engine that goes back to a backup", testBackup},
		{"a foreign writer", testTouched},
		{"a record that cannot be used", testUnusable},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, e) })
	}
}

// testLostAnswers cuts the connection at every place of the engine's answers. What Swap
// says must be what was done. It returns after how many bytes an answer was lost although
// the write was done.
func testLostAnswers(t *testing.T, e Engine) int64 {
	proxy := NewProxy(t, e.Addr)
	direct, proxied := e.Open(t, "lost", ""), e.Open(t, "lost", proxy.Addr)
	MustSwap(t, direct, "", Record(1))
	found := int64(-1)
	counts := map[string]int{}
	for n := int64(0); ; n += e.Step {
		proxy.Pass()
		before := MustLoad(t, proxied) // which a store may go by in Swap
		proxy.Cut(n)
		version, err := proxied.Swap(t.Context(), before.Version, Record(before.Record.Generation+1))
		after := MustLoad(t, direct)
		written := after.Version != before.Version
		outcome := fmt.Sprintf("unknown=%t written=%t", errors.Is(err, tokens.ErrUnknown), written)
		counts[outcome]++
		switch {
		case err == nil && (!written || version != after.Version):
			t.Fatalf("cut after %d bytes: success, but written is %t", n, written)
		case err == nil:
			t.Logf("of %d bytes of answers, cut every %d: %v", n, e.Step, counts)
			if found < 0 {
				t.Error("no connection was cut between the commit and its answer")
			}
			return found
		case errors.Is(err, tokens.ErrConflict):
			t.Fatalf("cut after %d bytes: %v", n, err)
		case written && !errors.Is(err, tokens.ErrUnknown):
			t.Fatalf("cut after %d bytes: it was written, but the error is %v", n, err)
		case written:
			found = n
		}
	}
}

// testStalled tests that calls end soon after their ctx while the engine does not answer.
// lost is after how many bytes the answer to a write is lost.
func testStalled(t *testing.T, e Engine, lost int64) {
	proxy := NewProxy(t, e.Addr)
	direct, proxied := e.Open(t, "stalled", ""), e.Open(t, "stalled", proxy.Addr)
	MustSwap(t, direct, "", Record(1))
	before := MustLoad(t, proxied)
	proxy.Stall(lost)
	call := func(what string, do func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		begun := time.Now()
		err := do(ctx)
		if d := time.Since(begun); d > 5*time.Second {
			t.Errorf("%s took %v", what, d)
		}
		return err
	}
	err := call("Swap", func(ctx context.Context) error {
		_, err := proxied.Swap(ctx, before.Version, Record(before.Record.Generation+1))
		return err
	})
	if !errors.Is(err, tokens.ErrUnknown) {
		t.Errorf("Swap: %v, want ErrUnknown", err)
	}
	proxy.Stall(0)
	err = call("Swap", func(ctx context.Context) error {
		_, err := proxied.Swap(ctx, MustLoad(t, direct).Version, Record(9))
		return err
	})
	if err == nil || errors.Is(err, tokens.ErrConflict) || MustLoad(t, direct).Record.Generation == 9 {
		t.Errorf("Swap of an engine that says nothing: %v", err)
	}
	err = call("Load", func(ctx context.Context) error {
		_, _, err := proxied.Load(ctx)
		return err
	})
	if !errors.Is(err, tokens.ErrUnavailable) {
		t.Errorf("Load: %v, want ErrUnavailable", err)
	}
}

// testKilled tests that a record is durable when Swap returns, and that an engine that is
// down is no conflict and no unknown outcome.
func testKilled(t *testing.T, e Engine) {
	s := e.Open(t, "killed", "")
	version := tokens.Version("")
	for generation := range uint64(3) {
		version = MustSwap(t, s, version, Record(generation))
		e.Kill(t)
		if _, _, err := s.Load(t.Context()); !errors.Is(err, tokens.ErrUnavailable) || hint.Of(err) == "" {
			t.Errorf("Load: %v, want ErrUnavailable", err)
		}
		_, err := s.Swap(t.Context(), version, Record(9))
		if err == nil || errors.Is(err, tokens.ErrUnknown) || errors.Is(err, tokens.ErrConflict) {
			t.Errorf("Swap: %v, want a plain error", err)
		}
		e.Start(t)
		if got := MustLoad(t, s); got.Record.Generation != generation || got.Version != version {
			t.Fatalf("generation %d, want %d", got.Record.Generation, generation)
		}
	}
}

// testBackup tests that versions of an engine that went back to an older record do not name
// later ones.
func testBackup(t *testing.T, e Engine) {
	s := e.Open(t, "backup", "")
	first := MustSwap(t, s, "", Record(1))
	e.Backup(t)
	second := MustSwap(t, s, first, Record(2))
	third := MustSwap(t, s, second, Record(3))
	e.Restore(t)
	if got := MustLoad(t, s); got.Version != first || got.Record.Generation != 1 {
		t.Errorf("generation %d after the engine went back to 1", got.Record.Generation)
	}
	if _, err := s.Swap(t.Context(), third, Record(4)); !errors.Is(err, tokens.ErrConflict) {
		t.Errorf("Swap of a version that the engine has lost: %v, want ErrConflict", err)
	}
	other := MustSwap(t, s, first, Record(22))
	if _, err := s.Swap(t.Context(), second, Record(3)); !errors.Is(err, tokens.ErrConflict) || other == second {
		t.Errorf("Swap of a version that is as old as the present one: %v, want ErrConflict", err)
	}
}

// testTouched tests that a foreign writer who leaves the record alone takes no swap away.
func testTouched(t *testing.T, e Engine) {
	s := e.Open(t, "touched", "")
	version := MustSwap(t, s, "", Record(1))
	e.Touch(t, "touched")
	MustSwap(t, s, version, Record(2))
}

// testUnusable tests that neither a damaged record nor one of a newer program is overwritten
// by a first one.
func testUnusable(t *testing.T, e Engine) {
	for i, text := range []string{`{}`, `{"format":99}`} {
		damaged := i == 0
		place := fmt.Sprintf("unusable-%d", i)
		s := e.Open(t, place, "")
		good := MustSwap(t, s, "", Record(1))
		e.Put(t, place, text)
		_, version, err := s.Load(t.Context())
		if err == nil || errors.Is(err, tokens.ErrDamaged) != damaged || errors.Is(err, tokens.ErrNone) ||
			hint.Of(err) == "" {
			t.Errorf("%q: %v; hint %q", text, err, hint.Of(err))
		}
		for _, old := range []tokens.Version{"", good} {
			_, err := s.Swap(t.Context(), old, Record(2))
			if err == nil || errors.Is(err, tokens.ErrUnknown) || errors.Is(err, tokens.ErrDamaged) != damaged {
				t.Errorf("%q: Swap of version %q: %v", text, old, err)
			}
		}
		if _, err := s.Swap(t.Context(), version, Record(2)); (err == nil) != damaged {
			t.Errorf("%q: putting a record back: %v", text, err)
		}
	}
}
