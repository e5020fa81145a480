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

// TestSecretsStayInTheProcess checks that another process of the same user, such as
// an app, can read neither the program's environment nor its memory map. A crash must
// leave no core file.
func TestSecretsStayInTheProcess(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: ACCESS BY ANOTHER PROCESS IS NOT TESTED because only root may run one as another user")
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

	readProc := func(pid int, file string) (string, error) {
		cmd := exec.Command("cat", fmt.Sprintf("/proc/%d/%s", pid, file))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	pid := p.cmd.Process.Pid
	for _, file := range []string{"environ", "maps"} {
		if out, err := readProc(pid, file); err == nil || !strings.Contains(out, "denied") {
			t.Errorf("another process can read %s: %d bytes, %v", file, len(out), err)
		}
	}
	limits, err := readProc(pid, "limits")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(limits) {
		if core, ok := strings.CutPrefix(line, "Max core file size"); ok && strings.Fields(core)[0] != "0" {
			t.Errorf("core files may have %s bytes", strings.Fields(core)[0])
		}
	}
	unprotected := exec.Command("sleep", "60") // checks that the read fails only for the program
	unprotected.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
	if err := unprotected.Start(); err != nil {
		t.Fatal(err)
	}
	defer unprotected.Wait()
	defer unprotected.Process.Kill()
	if _, err := readProc(unprotected.Process.Pid, "environ"); err != nil {
		t.Errorf("the unprotected process cannot be read either: %v", err)
	}
}
