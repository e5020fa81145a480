package process

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Harden keeps the secrets of this process to itself: it writes no core dump,
// and its memory and environment are not for other processes of the same user,
// whom ptrace(2) and /proc would let in.
func Harden() error {
	return errors.Join(noCore(), unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}
