package audit

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate allocates space in a file, and leaves its size as it is.
func allocate(f *os.File, offset, length int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, offset, length)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
