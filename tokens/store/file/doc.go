// Package file keeps records as files of a directory, for the processes of one
// machine, or of several whose file system shares flock(2) locks. It knows no
// issuer, and nothing of what is in a record but its encoding.
//
// It builds where there is flock(2) and the boot can be told, which is on Linux and
// macOS.
//
// Begin reading at [Dir] and [File].
package file
