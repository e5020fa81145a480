// Package file stores records as files of a directory, for the processes of one machine,
// or of several machines whose file system shares flock(2) locks. It knows no issuer, and
// nothing of a record but its encoding and generation.
//
// It builds on Linux and macOS, which have flock(2) and an identifier of the boot.
//
// Begin reading at [Dir] and [File].
package file
