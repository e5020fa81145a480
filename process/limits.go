package process

import (
	"runtime/debug"
	"syscall"
)

// Limits are what the operating system and the runtime allow the process. The
// zero value means that no limit is known.
type Limits struct {
	Files  uint64 // how many files may be open
	Memory int64  // bytes that the runtime may take (GOMEMLIMIT); math.MaxInt64 without a limit
}

// ReadLimits returns the limits of this process. The Go runtime has raised the
// limit of open files to the hard limit.
func ReadLimits() Limits {
	l := Limits{Memory: debug.SetMemoryLimit(-1)}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		l.Files = files.Cur
	}
	return l
}

// ballastSize is enough to keep the garbage collector from running between requests.
const ballastSize = 4 << 20

// Ballast returns memory that is never touched, so it is not resident. Keep it
// alive while the program serves. Without it the heap is a few MiB, and the
// garbage collector runs many times a second. A higher GOGC would help too, but
// it would multiply the memory that a thousand slow clients take.
func Ballast() []byte { return make([]byte, ballastSize) }
