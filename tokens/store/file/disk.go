package file

import "io"

// A disk is the directory in which a File lives, reduced to what a File does
// to it: the seam at which the tests put a disk that forgets what was not
// synced. Names are those of files in that one directory. The error of a call
// does not say that the call had no effect.
type disk interface {
	// ensure makes the directory anew where it is gone.
	ensure() error
	// create makes a file for writing that only its owner may open. The error
	// is tokens.ErrDamaged when the directory is gone.
	create(name string) (handle, error)
	// open opens a file for reading. The error is fs.ErrNotExist only when the
	// directory is there and the file is not; it is tokens.ErrDamaged when the
	// directory is gone, or the file is not this user's alone.
	open(name string) (handle, error)
	// lock locks a file, which it makes when there is none, until the Closer
	// is closed or the process ends. The error is errLocked when it would
	// have to wait.
	lock(name string) (io.Closer, error)
	// rename replaces the file to, or makes it.
	rename(from, to string) error
	remove(name string) error
	// sync makes durable what create, rename and remove did.
	sync() error
}

// A handle is an open file. Sync makes its content durable, not its name.
type handle interface {
	io.ReadWriteCloser
	Sync() error
}
