package process

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Harden protects the secrets of this process. The process writes no core dump, and other
// processes of the same user cannot read its memory and environment by ptrace(2) or
// /proc.
func Harden() error {
	return errors.Join(noCore(), unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}
