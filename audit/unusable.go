package audit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"ticketproxy/hint"
)

// variable names the file of a log.
const variable = "TICKETPROXY_AUDIT_LOG"

// notOpened returns the error of a file that cannot be opened, with its hint.
func notOpened(path string, err error) error {
	if info, statErr := os.Stat(path); statErr == nil && !info.Mode().IsRegular() {
		return notRegular(path, info.Mode())
	}
	const other = ", or name another file with " + variable
	dir := filepath.Dir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hint.With(err, "make the directory "+dir+", where this user can write"+other)
	case errors.Is(err, fs.ErrPermission):
		return hint.With(err, "let this user write to the file and to its directory"+other)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return hint.With(err, "make room on the volume of "+dir+other)
	}
	return hint.With(err, "have "+path+" be a file that this user can write to"+other)
}

// notRegular returns the error of what is no regular file, with its hint.
func notRegular(path string, mode fs.FileMode) error {
	switch {
	case mode.IsDir():
		return hint.With(errors.New(path+" is a directory"),
			"name a file in it, like "+variable+"=file:"+filepath.Join(path, "audit.jsonl"))
	case mode&fs.ModeNamedPipe != 0:
		return hint.With(errors.New(path+" is a FIFO"),
			"set "+variable+"=stdout and redirect stdout to the FIFO, or name a regular file")
	case mode&fs.ModeDevice != 0:
		return hint.With(errors.New(path+" is a device"),
			"name a regular file, or set "+variable+" to stdout, stderr or off")
	}
	return hint.With(errors.New(path+" is not a regular file"),
		"name a regular file, or set "+variable+" to stdout or stderr")
}
