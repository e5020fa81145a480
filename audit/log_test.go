package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errFull = errors.New("no space left on device")

// A fakeOutput is a stream whose writes may fail, in part, or wait.
type fakeOutput struct {
	mu    sync.Mutex
	text  bytes.Buffer
	space int           // bytes that still fit; none are counted when negative
	hold  chan struct{} // a write waits until it is closed; nil does not
}

func (o *fakeOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	hold := o.hold
	o.mu.Unlock()
	if hold != nil {
		<-hold
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.space >= 0 && len(p) > o.space {
		n, _ := o.text.Write(p[:o.space])
		o.space = 0
		return n, errFull
	}
	if o.space >= 0 {
		o.space -= len(p)
	}
	return o.text.Write(p)
}

func (o *fakeOutput) set(space int, hold chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.space, o.hold = space, hold
}

// serve is a request: it reports whether it was served.
func serve(l *Log, name string) bool {
	entry, err := l.Begin()
	if err != nil {
		return false
	}
	entry.End(Event{Action: "request", Path: name, Status: 200})
	return true
}

// count returns how often each path is in the lines.
func count(t *testing.T, text string) map[string]int {
	t.Helper()
	paths := map[string]int{}
	for line := range strings.Lines(text) {
		paths[checkLine(t, []byte(line))["url.path"].(string)]++
	}
	return paths
}

// newLog opens a log, with what it logs of itself.
func newLog(t *testing.T, c Config) (*Log, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	c.Log = zap.New(core)
	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return l, logs
}

func TestOff(t *testing.T) {
	t.Parallel()
	var l *Log
	if !serve(l, "/") || l.Lost() != 0 || l.Failure() != nil || l.Renamed() != nil || l.Refuses() != nil || l.Close() != nil {
		t.Error("a nil Log is not off")
	}
	l.Reopen()
}

func TestLostLinesAreCounted(t *testing.T) {
	t.Parallel()
	out := &fakeOutput{space: -1}
	l, logs := newLog(t, Config{Output: out})
	serve(l, "/1")
	out.set(100, nil)
	for range 3 {
		if !serve(l, "/lost") {
			t.Error("a request was refused")
		}
	}
	if l.Lost() != 3 || !errors.Is(l.Failure(), errFull) || l.Refuses() != nil {
		t.Errorf("%d lost, failure %v", l.Lost(), l.Failure())
	}
	out.set(-1, nil)
	serve(l, "/2")
	serve(l, "/3")
	if l.Lost() != 3 || l.Failure() != nil || logs.Len() != 2 {
		t.Errorf("%d lost, failure %v, log %v", l.Lost(), l.Failure(), logs.All())
	}
	lines := strings.SplitAfter(out.text.String(), "\n")
	if len(lines) != 5 || len(lines[1]) != 101 { // 100 bytes of a lost line, which is ended
		t.Fatalf("%q", lines)
	}
	for i, path := range map[int]string{0: "/1", 2: "/2", 3: "/3"} {
		if got := checkLine(t, []byte(lines[i]))["url.path"]; got != path {
			t.Errorf("line %d has the path %q", i, got)
		}
	}
}

func TestRequiredLinesAreKept(t *testing.T) {
	t.Parallel()
	out := &fakeOutput{space: -1}
	l, logs := newLog(t, Config{Output: out, Required: true})
	early, err := l.Begin()
	if err != nil {
		t.Fatal(err)
	}
	out.set(100, nil)
	if !serve(l, "/last") { // it is not known yet
		t.Error("the first request was refused")
	}
	for range 10 {
		if serve(l, "/refused") {
			t.Error("a request was served that cannot be recorded")
		}
		out.set(7, nil)
	}
	early.End(Event{Path: "/early", Status: 200})
	if err := l.Failure(); !errors.Is(err, errFull) {
		t.Errorf("failure %v", err)
	}
	out.set(-1, nil)
	if !serve(l, "/again") || l.Lost() != 0 || l.Failure() != nil || logs.Len() != 2 {
		t.Errorf("%d lost, failure %v, log %v", l.Lost(), l.Failure(), logs.All())
	}
	if got := fmt.Sprint(count(t, out.text.String())); got != "map[/again:1 /early:1 /last:1]" {
		t.Error(got)
	}
	out.set(0, nil)
	serve(l, "/gone")
	if err := l.Close(); !errors.Is(err, errFull) || l.Lost() != 1 {
		t.Errorf("Close = %v, %d lost", err, l.Lost())
	}
}

// A reader that takes nothing holds up one request, and the others for a second at most.
func TestWriteThatIsStuck(t *testing.T) {
	for _, required := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			out := &fakeOutput{space: -1}
			l, _ := newLog(t, Config{Output: out, Required: required})
			early, err := l.Begin()
			if err != nil {
				t.Fatal(err)
			}
			hold := make(chan struct{})
			out.set(-1, hold)
			done := make(chan bool)
			go func() { done <- serve(l, "/stuck") }()
			synctest.Wait()
			start := time.Now()
			for range 10 {
				if serve(l, "/meanwhile") == required {
					t.Errorf("served: %v", !required)
				}
			}
			early.End(Event{Path: "/early", Status: 200})
			if waited := time.Since(start); waited > stuckAfter {
				t.Errorf("waited %v", waited)
			}
			time.Sleep(time.Hour)
			close(hold)
			if !<-done || !serve(l, "/after") {
				t.Error("a request was refused afterwards")
			}
			lost, want := uint64(11), "map[/after:1 /stuck:1]"
			if required {
				lost, want = 0, "map[/after:1 /early:1 /stuck:1]"
			}
			if got := fmt.Sprint(count(t, out.text.String())); got != want || l.Lost() != lost {
				t.Errorf("%s, %d lost", got, l.Lost())
			}
		})
	}
}

// Lines that come while one that was kept is written are kept, too.
func TestLinesWhileAKeptOneIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := make(chan struct{}), make(chan struct{})
		out := &fakeOutput{space: -1, hold: first}
		l, _ := newLog(t, Config{Output: out, Required: true})
		var entries []Entry
		for range 4 {
			entry, err := l.Begin()
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, entry)
		}
		end := func(i int) { entries[i].End(Event{Path: fmt.Sprint("/", i)}) }
		go end(0)
		time.Sleep(time.Minute)
		end(1)
		out.set(-1, second)
		close(first)
		synctest.Wait()
		done := make(chan error)
		go func() { done <- l.Refuses() }() // it writes the line that is kept
		time.Sleep(time.Minute)
		end(2)
		end(3)
		close(second)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := fmt.Sprint(count(t, out.text.String())); got != "map[/0:1 /1:1 /2:1 /3:1]" {
			t.Error(got)
		}
	})
}

// After a quiet time many lines come at once. None is taken to wait for one that is stuck.
func TestBurstAfterAQuietTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLog(t, Config{Output: &fakeOutput{space: -1}})
		for range 2000 {
			time.Sleep(time.Minute)
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() { serve(l, "/") })
			}
			wg.Wait()
		}
		if l.Lost() > 0 {
			t.Errorf("%d of 20000 lines were lost: %v", l.Lost(), l.Failure())
		}
	})
}

func TestEachLineIsWrittenOnce(t *testing.T) {
	t.Parallel()
	for _, required := range []bool{false, true} {
		out := &fakeOutput{space: -1}
		l, _ := newLog(t, Config{Output: out, Required: required})
		var wg sync.WaitGroup
		for g := range 20 {
			wg.Go(func() {
				for i := range 50 {
					if required && i == g {
						out.set(10*i, nil) // full, for a while
					}
					for !serve(l, fmt.Sprintf("/%d/%d", g, i)) {
						out.set(-1, nil)
					}
				}
			})
		}
		wg.Wait()
		out.set(-1, nil)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		paths := count(t, out.text.String())
		if len(paths) != 1000 {
			t.Errorf("required %v: %d of 1000 requests have a line", required, len(paths))
		}
		for path, n := range paths {
			if n != 1 {
				t.Errorf("%s has %d lines", path, n)
			}
		}
	}
}
