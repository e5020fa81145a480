package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ticketproxy/config"
)

// readOnlyMount is the flag of statfs(2) for a file system that is mounted read-only.
const readOnlyMount = 1

// exposedSecrets returns a warning for each file of a secret that every user of
// this machine can read. Orchestrators hand secrets to a container by a read-only
// mount, with the mode 0644 in Kubernetes, where there is no other user: files
// there are left out.
func exposedSecrets(files []config.SecretFile, readOnly func(path string) bool) []string {
	var all []string
	for _, f := range files {
		info, err := os.Stat(f.Path)
		if err != nil || info.Mode().Perm()&0o004 == 0 || readOnly(f.Path) {
			continue
		}
		all = append(all, fmt.Sprintf("every user of this machine can read the file of %s (mode %04o): chmod 600 it",
			f.Variable, info.Mode().Perm()))
	}
	return all
}

func onReadOnlyMount(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && uint64(fs.Flags)&readOnlyMount != 0
}
