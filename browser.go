package main

import (
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"ticketproxy/config"
)

// openBrowser returns a function that shows an address in the person's
// browser. No shell is between, the variables with our secrets are kept from
// it, and a Ctrl-C that is meant for us does not reach it.
func openBrowser(environ []string) func(address string) error {
	return func(address string) error {
		name := "xdg-open"
		if runtime.GOOS == "darwin" {
			name = "open"
		}
		cmd := exec.Command(name, address)
		cmd.Env = slices.DeleteFunc(slices.Clone(environ), func(pair string) bool { return strings.HasPrefix(pair, config.Prefix) })
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			return err
		}
		go cmd.Wait() // it may be the browser itself, and outlive us
		return nil
	}
}
