package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ticketproxy/hint"
)

func read(t *testing.T, paths ...string) string {
	t.Helper()
	var all strings.Builder
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}

// lookNow has the next line look at the path, as if a second had passed.
func lookNow(l *Log) { l.file.lookedAt = time.Time{} }

func TestFile(t *testing.T) {
	t.Parallel()
	for _, required := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "audit.log")
		for range 2 {
			l, _ := newLog(t, Config{Path: path, Required: required})
			serve(l, "/x")
			serve(l, "/x")
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		if n := count(t, read(t, path))["/x"]; n != 4 {
			t.Errorf("%d lines", n)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if stat, ok := sysStat(info); ok && stat.Blocks*512 > 64<<10 {
			t.Errorf("%d bytes stay reserved", stat.Blocks*512)
		}
	}
}

// TestTornLine tests that a line is whole after one that a process has written in part.
func TestTornLine(t *testing.T) {
	t.Parallel()
	for _, required := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "audit.log")
		if err := os.WriteFile(path, []byte(`{"torn`), 0o600); err != nil {
			t.Fatal(err)
		}
		l, _ := newLog(t, Config{Path: path, Required: required})
		serve(l, "/x")
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		torn, rest, _ := strings.Cut(read(t, path), "\n")
		if n := count(t, rest)["/x"]; torn != `{"torn` || n != 1 {
			t.Errorf("%q, and %d lines", torn, n)
		}
	}
}

func TestFilesThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, syscall.Mkfifo(dir+"/fifo", 0o600))
	must(t, syscall.Mkfifo(dir+"/read", 0o600))
	reader, err := os.OpenFile(dir+"/read", os.O_RDWR, 0) // which is no end of the other side
	must(t, err)
	defer reader.Close()
	socket, err := net.Listen("unix", dir+"/socket")
	must(t, err)
	defer socket.Close()
	must(t, os.WriteFile(dir+"/file", nil, 0o600))
	l, _ := newLog(t, Config{Path: dir + "/locked", Required: true})
	defer l.Close()
	for path, want := range map[string]struct{ text, hint string }{
		dir + "/no/audit.log":   {"no such file", "make the directory " + dir + "/no, "},
		dir + "/file/audit.log": {"not a directory", "have " + dir + "/file/audit.log be a file"},
		dir:                     {dir + " is a directory", "name a file in it, like TICKETPROXY_AUDIT_LOG=file:" + dir + "/audit.jsonl"},
		dir + "/locked":         {"another process writes ", "a file of its own"},
		"/dev/null":             {"/dev/null is a device", "stdout, stderr or off"},
		dir + "/fifo":           {"/fifo is a FIFO", "redirect stdout to the FIFO"},
		dir + "/read":           {"/read is a FIFO", "redirect stdout to the FIFO"},
		dir + "/socket":         {"/socket is not a regular file", "name a regular file"},
	} {
		_, err := Open(Config{Path: path, Required: true})
		if err == nil || !strings.Contains(err.Error(), want.text) || !strings.Contains(hint.Of(err), want.hint) {
			t.Errorf("%s: %v, hint %q", path, err, hint.Of(err))
		}
	}
	if got := hint.Of(notOpened(dir+"/denied", syscall.EACCES)); !strings.HasPrefix(got, "let this user write to the file") {
		t.Errorf("without the right: hint %q", got)
	}
	other, err := Open(Config{Path: dir + "/locked"}) // it reserves nothing
	if err != nil {
		t.Fatal(err)
	}
	must(t, other.Close())
}

// disk is a file system that is full at some time. Its files are real.
type disk struct {
	mu    sync.Mutex
	space int64
	ends  map[*os.File]int64 // where reserved space ends
}

func (d *disk) allocate(f *os.File, offset, length int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if length <= 0 {
		return syscall.EINVAL // as fallocate(2) does
	}
	more := offset + length - max(d.ends[f], offset)
	if more > d.space {
		return syscall.ENOSPC
	}
	d.space -= max(more, 0)
	d.ends[f] = max(d.ends[f], offset+length)
	return nil
}

// Each request that Begin lets pass has space reserved for its line, however full the disk is.
func TestReservedSpace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, _ := newLog(t, Config{Path: path, Required: true})
	defer l.Close()
	d := &disk{ends: map[*os.File]int64{}}
	f := l.file
	f.allocate, f.reserved, f.unfit = d.allocate, 0, false
	var open []Entry
	refused := 0
	for step := range 2000 {
		if step%100 == 0 {
			d.space += 50 << 10
		}
		if step%3 == 0 && len(open) > 0 {
			open[0].End(fill(strings.Repeat("x", step), 1))
			open = open[1:]
		} else if entry, err := l.Begin(); err == nil {
			open = append(open, entry)
		} else if refused++; !errors.Is(err, syscall.ENOSPC) || d.space >= 2*MaxLine {
			t.Fatalf("%v, with %d bytes", err, d.space)
		}
		if f.size+int64(len(open))*MaxLine > d.ends[f.file] {
			t.Fatalf("step %d: %d lines are open, %d bytes are reserved", step, len(open), d.ends[f.file]-f.size)
		}
	}
	if refused < 10 || refused > 1500 {
		t.Errorf("%d requests were refused", refused)
	}
}

// A log that is opened on a full disk reserves space as soon as there is some.
func TestOpenOnAFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	must(t, os.WriteFile(path, []byte("{}\n"), 0o600))
	d := &disk{ends: map[*os.File]int64{}}
	f := &logFile{path: path, required: true, allocate: d.allocate}
	must(t, f.openNew())
	defer f.close()
	if err := f.reserve(1); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("on a full disk: %v", err)
	}
	d.space = 2 * MaxLine
	if err := f.reserve(1); err != nil || f.unfit || f.reserved < f.size+MaxLine {
		t.Errorf("with space: %v, unfit %v, %d bytes reserved", err, f.unfit, f.reserved)
	}
}

// Failure says why requests are refused, also while the lines of others are written.
func TestFailureWhileLinesAreWritten(t *testing.T) {
	t.Parallel()
	l, logs := newLog(t, Config{Path: filepath.Join(t.TempDir(), "audit.log"), Required: true})
	defer l.Close()
	d := &disk{ends: map[*os.File]int64{}, space: 3 * MaxLine}
	f := l.file
	f.allocate, f.reserved, f.unfit = d.allocate, 0, false
	var open []Entry
	for range 3 {
		entry, err := l.Begin()
		must(t, err)
		open = append(open, entry)
	}
	for _, entry := range open {
		if _, err := l.Begin(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Begin = %v", err)
		}
		entry.End(fill(strings.Repeat("x", 2000), 1)) // it needs most of its space
		if !errors.Is(l.Failure(), syscall.ENOSPC) || logs.Len() != 1 {
			t.Errorf("failure %v, log %v", l.Failure(), logs.All())
		}
	}
	d.space = MaxLine
	if !serve(l, "/x") || l.Failure() != nil || logs.Len() != 2 {
		t.Errorf("failure %v, log %v", l.Failure(), logs.All())
	}
}

// Refuses says what Begin would say, and promises no line.
func TestRefuses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, logs := newLog(t, Config{Path: path, Required: true})
	defer l.Close()
	d := &disk{ends: map[*os.File]int64{}}
	f := l.file
	f.allocate, f.reserved, f.unfit = d.allocate, 0, false
	for range 3 {
		if err := l.Refuses(); !errors.Is(err, syscall.ENOSPC) || !errors.Is(l.Failure(), syscall.ENOSPC) {
			t.Errorf("on a full disk: %v, failure %v", err, l.Failure())
		}
	}
	if serve(l, "/x") {
		t.Error("a request was served")
	}
	d.space = MaxLine
	for range 3 {
		if err := l.Refuses(); err != nil || l.Failure() != nil {
			t.Errorf("with space for a line: %v, failure %v", err, l.Failure())
		}
	}
	if !serve(l, "/x") || logs.Len() != 2 {
		t.Errorf("a request was refused: %v, log %v", l.Failure(), logs.All())
	}
}

// Where no space can be reserved, a line that does not fit is kept.
func TestUnsupportedReservation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, _ := newLog(t, Config{Path: path, Required: true})
	f := l.file
	f.allocate = func(*os.File, int64, int64) error { return syscall.EOPNOTSUPP }
	f.reserved = 0
	if !serve(l, "/1") || !f.unfit {
		t.Fatal(l.Failure())
	}
	broken, err := os.Open(path) // which cannot be written
	must(t, err)
	file := f.file
	f.file = broken
	if !serve(l, "/2") || serve(l, "/3") || l.Failure() == nil {
		t.Errorf("failure %v", l.Failure())
	}
	must(t, broken.Close())
	f.file = file
	if !serve(l, "/4") {
		t.Error(l.Failure())
	}
	must(t, l.Close())
	if got := fmt.Sprint(count(t, read(t, path))); got != "map[/1:1 /2:1 /4:1]" {
		t.Error(got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sysStat(info fs.FileInfo) (*syscall.Stat_t, bool) {
	if info == nil {
		return nil, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return stat, ok
}
