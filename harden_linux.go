package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

// harden keeps the secrets of this process to itself: it writes no core dump,
// and its memory and environment are not for other processes of the same user,
// whom ptrace(2) and /proc would let in.
func harden() error {
	return errors.Join(noCore(), unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}
