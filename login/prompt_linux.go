package login

import "golang.org/x/sys/unix"

// The requests of ioctl(2) which get and set a terminal's modes.
const getTermios, setTermios = unix.TCGETS, unix.TCSETS
