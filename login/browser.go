package login

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Browser returns a function that opens an address in the person's browser. It starts
// the browser without a shell, with the environment environ, and in a process group of
// its own, so that Ctrl-C does not reach it.
func Browser(environ []string) func(address string) error {
	return func(address string) error {
		name := "xdg-open"
		if runtime.GOOS == "darwin" {
			name = "open"
		}
		cmd := exec.Command(name, address)
		cmd.Env = environ
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			return err
		}
		go cmd.Wait() // it may be the browser itself and outlive this process
		return nil
	}
}
