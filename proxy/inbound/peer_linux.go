package inbound

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// peerUID returns the peer's user (unix(7), SO_PEERCRED).
func peerUID(raw syscall.RawConn) (uid uint32, ok bool) {
	cred, ok := control(raw, func(fd int) (*unix.Ucred, error) {
		return unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if !ok {
		return 0, false
	}
	return cred.Uid, true
}
