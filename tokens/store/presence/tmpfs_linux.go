package presence

import (
	"os"

	"golang.org/x/sys/unix"
)

// sharedMemory is the tmpfs of every Linux machine and every container; see shm_overview(7).
const sharedMemory = "/dev/shm"

// isTmpfs reports whether a file is in the memory of this kernel.
func isTmpfs(file *os.File) bool {
	var s unix.Statfs_t
	return unix.Fstatfs(int(file.Fd()), &s) == nil && s.Type == unix.TMPFS_MAGIC
}
