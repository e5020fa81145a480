package audit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// mount mounts a small file system until the test ends.
func mount(t *testing.T, kind string) string {
	t.Helper()
	dir, source, options := t.TempDir(), "none", "size=4m"
	if kind != "tmpfs" {
		image := filepath.Join(t.TempDir(), "image")
		must(t, os.WriteFile(image, nil, 0o600))
		must(t, os.Truncate(image, 16<<20))
		if out, err := exec.Command("/usr/sbin/mkfs."+kind, "-q", image).CombinedOutput(); err != nil {
			t.Skipf("no %s can be made: %v %s", kind, err, out)
		}
		if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
			t.Skipf("no %s can be mounted: %v %s", kind, err, out)
		}
	} else if err := syscall.Mount(source, dir, kind, 0, options); err != nil {
		t.Skipf("no %s can be mounted: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// full writes a file until the disk is full.
func full(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for _, size := range []int{64 << 10, 4 << 10, 512, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// On a disk that gets full and is freed again, under load, each request that was served has
// its line, and no other.
func TestFullDisk(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			dir := mount(t, kind)
			path := filepath.Join(dir, "audit.log")
			l, _ := newLog(t, Config{Path: path, Required: true})
			var mu sync.Mutex
			served, refused := map[string]bool{}, 0
			var number atomic.Int64
			load := func(requests int) {
				var wg sync.WaitGroup
				for range 20 {
					wg.Go(func() {
						for range requests {
							name := fmt.Sprintf("/%d%s", number.Add(1), strings.Repeat("x", 1000))
							ok := serve(l, name)
							mu.Lock()
							if ok {
								served[name] = true
							} else {
								refused++
							}
							mu.Unlock()
						}
					})
				}
				wg.Wait()
			}
			load(10)
			var open []Entry // requests under way when the disk is full
			for range 30 {
				entry, err := l.Begin()
				must(t, err)
				open = append(open, entry)
			}
			if refused > 0 {
				t.Fatalf("%d requests were refused before", refused)
			}
			for range 3 {
				full(t, dir+"/ballast")
				load(200)
				if refused == 0 || !errors.Is(l.Failure(), syscall.ENOSPC) {
					t.Errorf("%d requests were refused, failure %v", refused, l.Failure())
				}
				for _, e := range open[:10] {
					name := fmt.Sprintf("/%d%s", number.Add(1), strings.Repeat("y", 3000))
					e.End(fill(name, 1<<62))
					served[name] = true
				}
				open = open[10:]
				if len(l.owed) > 0 {
					t.Errorf("%d lines did not fit", len(l.owed))
				}
				must(t, os.Remove(dir+"/ballast"))
				refused = 0
				load(1)
				if refused > 0 || l.Failure() != nil {
					t.Errorf("%d requests were refused afterwards: %v", refused, l.Failure())
				}
			}
			must(t, l.Close())
			paths := count(t, read(t, path))
			for name := range served {
				short := name
				if strings.HasSuffix(name, "y") { // it is cut off
					short = strings.TrimSuffix(name[:maxPath-3], "") + "…"
				}
				if paths[short] != 1 {
					t.Errorf("%.10s has %d lines", name, paths[short])
				}
			}
			if len(paths) != len(served) || l.Lost() > 0 {
				t.Errorf("%d lines of %d requests that were served, %d lost", len(paths), len(served), l.Lost())
			}
		})
	}
}
