package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRotation(t *testing.T) {
	t.Parallel()
	for _, required := range []bool{false, true} {
		dir := t.TempDir()
		path := filepath.Join(dir, "audit.log")
		l, _ := newLog(t, Config{Path: path, Required: required})
		serve(l, "/1")
		under, err := l.Begin()
		if err != nil {
			t.Fatal(err)
		}
		must(t, os.Rename(path, path+".1"))
		serve(l, "/still 1") // a second has not passed
		lookNow(l)
		serve(l, "/2")
		under.End(Event{Path: "/under way"})
		must(t, os.Rename(path, path+".2"))
		l.Reopen()
		if _, err := os.Stat(path); err != nil {
			t.Errorf("after Reopen: %v", err)
		}
		serve(l, "/3")
		must(t, os.Remove(path))
		lookNow(l)
		serve(l, "/4")
		must(t, l.Close())
		for file, want := range map[string]string{
			path + ".1": "map[/1:1 /still 1:1]", path + ".2": "map[/2:1 /under way:1]", path: "map[/4:1]",
		} {
			if got := fmt.Sprint(count(t, read(t, file))); got != want {
				t.Errorf("%s: %s, want %s", filepath.Base(file), got, want)
			}
		}
		if info, err := os.Stat(path + ".1"); err == nil {
			if stat, ok := sysStat(info); ok && stat.Blocks*512 > 64<<10 {
				t.Errorf("%d bytes of the old file stay reserved", stat.Blocks*512)
			}
		}
	}
}

// Where each line is required, none is in a file that was removed before it was written.
func TestRemovedFileGetsNoLine(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	must(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, "audit.log")
	l, _ := newLog(t, Config{Path: path, Required: true})
	serve(l, "/1")
	must(t, os.Remove(path))
	serve(l, "/2") // a second has not passed
	if got := fmt.Sprint(count(t, read(t, path))); got != "map[/2:1]" {
		t.Error(got)
	}
	must(t, os.RemoveAll(dir))
	if !serve(l, "/3") || serve(l, "/refused") || !errors.Is(l.Failure(), fs.ErrNotExist) {
		t.Errorf("failure %v", l.Failure())
	}
	must(t, os.Mkdir(dir, 0o700))
	if !serve(l, "/4") || l.Lost() > 0 {
		t.Errorf("failure %v, %d lost", l.Failure(), l.Lost())
	}
	must(t, l.Close())
	if got := fmt.Sprint(count(t, read(t, path))); got != "map[/3:1 /4:1]" {
		t.Error(got)
	}
}

// As long as no new file can be made, the renamed one is written, and the log says so. One without
// a name is not written.
func TestRotationIntoNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	must(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, "audit.log")
	l, logs := newLog(t, Config{Path: path, Required: true})
	serve(l, "/1")
	must(t, os.Rename(dir, dir+".old"))
	for range 2 {
		lookNow(l)
		if !serve(l, "/2") || l.Failure() != nil || !errors.Is(l.Renamed(), fs.ErrNotExist) {
			t.Errorf("while the old file is there: failure %v, renamed %v", l.Failure(), l.Renamed())
		}
	}
	if n := logs.FilterMessageSnippet("a file that was renamed").Len(); n != 1 || logs.Len() != 1 {
		t.Errorf("log %v", logs.All())
	}
	must(t, os.RemoveAll(dir+".old"))
	lookNow(l)
	if serve(l, "/3") || !errors.Is(l.Failure(), fs.ErrNotExist) || l.Renamed() != nil {
		t.Errorf("served without a file: failure %v, renamed %v", l.Failure(), l.Renamed())
	}
	must(t, os.Mkdir(dir, 0o700))
	if !serve(l, "/4") {
		t.Error(l.Failure())
	}
	must(t, l.Close())
	if got := fmt.Sprint(count(t, read(t, path))); got != "map[/4:1]" {
		t.Error(got)
	}
}

// A file that has its name again, or another at its path, is no renamed one any more.
func TestRotationIsMended(t *testing.T) {
	t.Parallel()
	for name, mend := range map[string]func(path, renamed string) error{
		"renamed back": func(path, renamed string) error { return os.Rename(renamed, path) },
		"another file": func(path, _ string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		path := filepath.Join(t.TempDir(), "audit.log")
		l, logs := newLog(t, Config{Path: path})
		must(t, os.Rename(path, path+".1"))
		must(t, os.Mkdir(path, 0o700)) // which cannot be opened
		l.Reopen()
		if l.Renamed() == nil || l.Failure() != nil {
			t.Errorf("%s: failure %v, renamed %v", name, l.Failure(), l.Renamed())
		}
		must(t, os.Remove(path))
		must(t, mend(path, path+".1"))
		l.Reopen()
		serve(l, "/1")
		if l.Renamed() != nil || logs.Len() != 2 || len(read(t, path)) == 0 {
			t.Errorf("%s: renamed %v, log %v", name, l.Renamed(), logs.All())
		}
		must(t, l.Close())
	}
}

// A line of which a part is in a file that was renamed since is whole in the new one.
func TestRestOfALineAfterRotation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, _ := newLog(t, Config{Path: path, Required: true})
	text := appendLine(nil, &Event{Path: "/1"}, time.Now(), 0)
	l.owed = []*line{{text: text, done: 100, file: l.file.count}}
	l.open++
	must(t, os.Rename(path, path+".1"))
	lookNow(l)
	serve(l, "/2")
	must(t, l.Close())
	if got := fmt.Sprint(count(t, read(t, path))); got != "map[/1:1 /2:1]" {
		t.Error(got)
	}
}

// A file that was truncated is written from its beginning.
func TestTruncation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, _ := newLog(t, Config{Path: path, Required: true})
	serve(l, "/1")
	must(t, os.Truncate(path, 0))
	lookNow(l)
	serve(l, "/2")
	f := l.file
	if info, err := os.Stat(path); err != nil || info.Size() != f.size || !f.unfit && f.reserved < f.size {
		t.Errorf("size %d, reserved up to %d, error %v", f.size, f.reserved, err)
	}
	must(t, l.Close())
	if got := fmt.Sprint(count(t, read(t, path))); got != "map[/2:1]" {
		t.Error(got)
	}
}
