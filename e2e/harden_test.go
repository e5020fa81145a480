package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSecretsStayInTheProcess: another process of the same user, as an app
// beside us is, reads neither our environment nor our memory, and a crash
// leaves no core.
func TestSecretsStayInTheProcess(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: THE NEIGHBOUR IS NOT TESTED, for this user cannot become another")
	}
	root := openToAll(t)
	dir := filepath.Join(root, "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, dir, startSandbox(t, time.Hour))
	p.binary = filepath.Join(root, "ticketproxy")
	copyProgram(t, p.binary)
	p.credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	p.start()
	p.awaitAllUsable(30 * time.Second)

	neighbour := func(pid int, file string) (string, error) {
		cmd := exec.Command("cat", fmt.Sprintf("/proc/%d/%s", pid, file))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	pid := p.cmd.Process.Pid
	for _, file := range []string{"environ", "maps"} {
		if out, err := neighbour(pid, file); err == nil || !strings.Contains(out, "denied") {
			t.Errorf("a neighbour reads %s: %d bytes, %v", file, len(out), err)
		}
	}
	limits, err := neighbour(pid, "limits")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(limits) {
		if core, ok := strings.CutPrefix(line, "Max core file size"); ok && strings.Fields(core)[0] != "0" {
			t.Errorf("core files may have %s bytes", strings.Fields(core)[0])
		}
	}
	open := exec.Command("sleep", "60") // that the neighbour could read another's
	open.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
	if err := open.Start(); err != nil {
		t.Fatal(err)
	}
	defer open.Wait()
	defer open.Process.Kill()
	if _, err := neighbour(open.Process.Pid, "environ"); err != nil {
		t.Errorf("the control cannot be read either: %v", err)
	}
}
