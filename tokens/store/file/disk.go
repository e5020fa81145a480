package file

import "io"

// A disk has the operations of a File on its directory. Tests replace it by a disk that
// loses data that was not synced. Names are those of files in that one directory. A call
// that returns an error may have had its effect.
type disk interface {
	// ensure creates the directory if it does not exist.
	ensure() error
	// create creates a file for writing that only its owner may open. The error is
	// tokens.ErrDamaged when the directory does not exist.
	create(name string) (handle, error)
	// open opens a file for reading. The error is fs.ErrNotExist only when the directory
	// exists and the file does not. It is tokens.ErrDamaged when the directory does not
	// exist, or another user owns the file or can access it.
	open(name string) (handle, error)
	// lock locks a file until the Closer is closed or the process ends. It creates the
	// file if it does not exist. It does not wait: the error is errLocked when another has
	// the lock.
	lock(name string) (io.Closer, error)
	// rename replaces the file to, or creates it.
	rename(from, to string) error
	remove(name string) error
	// sync makes the effects of create, rename and remove durable.
	sync() error
}

// A handle is an open file. Sync makes its content durable, but not its name.
type handle interface {
	io.ReadWriteCloser
	Sync() error
}
