package file

import "golang.org/x/sys/unix"

// bootID identifies the current boot of this kernel. It is empty when it is unknown.
func bootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
