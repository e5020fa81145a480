package login

import "golang.org/x/sys/unix"

// The ioctl(2) requests that get and set a terminal's modes.
const getTermios, setTermios = unix.TIOCGETA, unix.TIOCSETA
