package server

import (
	"fmt"
	"os"

	"ticketproxy/config"
	"ticketproxy/process"
)

// ExposedSecrets returns a warning for each file of a secret that every user of
// this machine can read. The warnings do not name the files, since a path may be
// a secret that was put into the wrong variable.
func ExposedSecrets(files []config.SecretFile) []string {
	return exposedSecrets(files, process.OnReadOnlyMount)
}

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
