package process

import (
	"os"

	"golang.org/x/sys/unix"
)

// readOnlyMount is the flag of statfs(2) for a file system that is mounted
// read-only. Linux and macOS use the same bit.
const readOnlyMount = 1

// OnReadOnlyMount reports whether a file is on a file system that is mounted
// read-only. It is false when that cannot be determined.
func OnReadOnlyMount(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && uint64(fs.Flags)&readOnlyMount != 0
}

// IsTerminal reports whether a file is a terminal.
func IsTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Mode()&os.ModeDevice != 0
}
