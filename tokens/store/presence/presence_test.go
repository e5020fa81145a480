package presence

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

const childVariable = "PRESENCE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		fmt.Println(announce(dir).Holder())
		io.Copy(io.Discard, os.Stdin) // until it is killed
		return
	}
	goleak.VerifyTestMain(m)
}

// announce returns a presence that others can see.
func announce(dir string) *Process {
	p := newIn(dir)
	p.Announce()
	return p
}

// sharedDir returns a directory on the tmpfs.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ticketproxy-test-")
	if err != nil {
		t.Skipf("no /dev/shm: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if p := announce(dir); p.lock == nil {
		t.Skip("/dev/shm is no tmpfs")
	} else if err := p.Close(false); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startChild starts a process with a presence, and returns its id.
func startChild(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{childVariable + "=" + dir}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, strings.TrimSpace(line)
}

func kill(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// noForks keeps other tests from starting processes until the test ends. A child has the
// locks of its parent until it executes its program.
func noForks(t *testing.T) {
	syscall.ForkLock.RLock()
	t.Cleanup(syscall.ForkLock.RUnlock)
}

// goneLater reports whether a process is gone a second after it was first asked for.
func goneLater(t *testing.T, p *Process, id string) bool {
	t.Helper()
	var gone bool
	synctest.Test(t, func(t *testing.T) {
		if p.Gone(id) {
			t.Errorf("%s is gone at once", id)
		}
		time.Sleep(settle)
		gone = p.Gone(id)
	})
	return gone
}

func TestKilledProcessIsGone(t *testing.T) {
	t.Parallel()
	dir := sharedDir(t)
	child, id := startChild(t, dir)
	p := newIn(dir)
	if goneLater(t, p, id) {
		t.Error("gone while it runs")
	}
	if err := child.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(child.Process.Pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("waiting for the child to stop: %v, status %v", err, status)
	}
	if goneLater(t, p, id) {
		t.Error("gone while it is stopped")
	}
	kill(child)
	if !goneLater(t, p, id) {
		t.Error("not gone after a kill")
	}
	if later := newIn(dir); !goneLater(t, later, id) {
		t.Error("not gone for a process that starts later")
	}
}

// TestSettling tests that a process which is seen to live again was not gone.
func TestSettling(t *testing.T) {
	t.Parallel()
	dir := sharedDir(t)
	noForks(t)
	p, q := newIn(dir), announce(dir)
	file, err := os.Open(q.lock.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := q.Close(true); err != nil {
		t.Fatal(err)
	}
	if p.Gone(q.Holder()) {
		t.Error("gone at once")
	}
	if err := flock(file, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if goneLater(t, p, q.Holder()) {
		t.Error("gone while the lock is held")
	}
}

func TestGoneIsFalseWhenUnknown(t *testing.T) {
	t.Parallel()
	dir := sharedDir(t)
	p, same := newIn(dir), announce(dir)
	put := func(dir, id string) string {
		if err := os.WriteFile(filepath.Join(dir, prefix+id+suffix), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return id
	}
	linked, directory := rand.Text(), rand.Text()
	if err := os.Symlink(prefix+put(dir, rand.Text())+suffix, p.path(linked)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(p.path(directory), 0o700); err != nil {
		t.Fatal(err)
	}
	fifo := rand.Text()
	if err := unix.Mkfifo(p.path(fifo), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]string{
		"own id":           p.Holder(),
		"the same process": same.Holder(),
		"another machine":  rand.Text(),
		"empty":            "",
		"a path":           "../" + rand.Text(),
		"lower case":       put(dir, strings.ToLower(rand.Text())),
		"a link":           linked,
		"a directory":      directory,
		"a pipe":           fifo,
	} {
		if goneLater(t, p, id) {
			t.Errorf("%s: gone", name)
		}
	}
	if os.Geteuid() == 0 { // another user could put a file there
		id := put(dir, rand.Text())
		if err := os.Chown(p.path(id), 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if goneLater(t, p, id) {
			t.Error("gone by another user's file")
		}
	}
	disk := t.TempDir()
	onDisk := &Process{dir: disk, ended: map[string]time.Time{}}
	if announce(disk).lock == nil && goneLater(t, onDisk, put(disk, rand.Text())) {
		t.Error("gone by a file that is on no tmpfs")
	}
	if !goneLater(t, p, put(dir, rand.Text())) {
		t.Error("not gone though its lock is free")
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	dir := sharedDir(t)
	noForks(t)
	p := newIn(dir)
	named, unnamed := announce(dir), announce(dir)
	for q, name := range map[*Process]bool{named: true, unnamed: false} {
		if err := q.Close(name); err != nil {
			t.Error(err)
		}
	}
	if !goneLater(t, p, named.Holder()) {
		t.Error("not gone though a record names it")
	}
	if _, err := os.Lstat(p.path(unnamed.Holder())); !os.IsNotExist(err) {
		t.Errorf("the file of a closed presence: %v", err)
	}
}

// TestTidy tests that the files of processes that were killed long ago are removed, and no
// others.
func TestTidy(t *testing.T) {
	t.Parallel()
	dir := sharedDir(t)
	noForks(t)
	old := time.Now().Add(-2 * keep)
	alive, killed, fresh := announce(dir), announce(dir), announce(dir)
	for _, p := range []*Process{killed, fresh} {
		if err := p.Close(true); err != nil {
			t.Fatal(err)
		}
	}
	other := filepath.Join(dir, "ticketproxy.other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{alive.lock.Name(), killed.path(killed.id), other} {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	announce(dir)
	for path, want := range map[string]bool{
		alive.lock.Name(): true, killed.path(killed.id): false, fresh.path(fresh.id): true, other: true,
	} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it to stay: %v", filepath.Base(path), err, want)
		}
	}
}

// TestNoSharedMemory tests that a process without a lock has an id all the same.
func TestNoSharedMemory(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{"none": "", "missing": filepath.Join(t.TempDir(), "none"), "a disk": t.TempDir()} {
		p := announce(dir)
		if p.lock != nil {
			t.Logf("%s: is a tmpfs here", name)
		}
		if !valid(p.Holder()) || p.Gone(rand.Text()) || p.Close(false) != nil {
			t.Errorf("%s: holder %q", name, p.Holder())
		}
		if left, err := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: %v left, %v", name, left, err)
		}
	}
}
