package file

import "golang.org/x/sys/unix"

// bootID names the present boot of this kernel; empty when it cannot be told.
func bootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
