package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// namespaceVariable is set in the child process of TestDiskFull, which may mount.
const namespaceVariable = "E2E_NAMESPACE"

// TestDiskFull fills the volume of the state. It mounts the volumes in a separate
// mount namespace, which ends with the test.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if os.Getenv(namespaceVariable) == "" {
		inNamespace(t)
		return
	}
	fillers := map[string]*filler{}
	var mu sync.Mutex
	testUnwritable(t, volume{
		newDir: func(t *testing.T) string {
			dir := t.TempDir()
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
				t.Fatalf("mounting a volume: %v", err)
			}
			t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
			return dir
		},
		prepare: func(*testing.T, *proxy) {},
		blockWrites: func(t *testing.T, dir string) {
			mu.Lock()
			defer mu.Unlock()
			fillers[dir] = fill(t, dir)
		},
		allowWrites: func(t *testing.T, dir string) {
			mu.Lock()
			defer mu.Unlock()
			if f := fillers[dir]; f != nil {
				f.empty(t)
				delete(fillers, dir)
			}
		},
	})
}

// inNamespace runs the test in a child process that may mount.
func inNamespace(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.v", "-test.run=^"+t.Name()+"$", fmt.Sprintf("-seed=%d", *randomSeed))
	cmd.Env = append(os.Environ(), namespaceVariable+"=own", binaryVariable+"="+binary)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skipf("SKIPPED: THE FULL DISK IS NOT TESTED because this user may not mount: %v", err)
	}
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// A filler keeps a volume full.
type filler struct {
	file          *os.File
	stop, stopped chan struct{}
}

// fill returns once the volume is full.
func fill(t *testing.T, dir string) *filler {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	f := &filler{file, make(chan struct{}), make(chan struct{})}
	full := make(chan struct{})
	go func() {
		defer close(f.stopped)
		for filled := false; ; {
			_, err := file.Write(make([]byte, os.Getpagesize()))
			if err == nil {
				continue
			}
			if !filled {
				filled = true
				close(full)
			}
			select {
			case <-f.stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	<-full
	return f
}

// empty stops the filler and frees its space.
func (f *filler) empty(t *testing.T) {
	t.Helper()
	close(f.stop)
	<-f.stopped
	f.file.Close()
	if err := os.Remove(f.file.Name()); err != nil {
		t.Error(err)
	}
}
