package inbound

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// peerUID returns the peer's user, as getpeereid(3) does.
func peerUID(raw syscall.RawConn) (uid uint32, ok bool) {
	cred, ok := control(raw, func(fd int) (*unix.Xucred, error) {
		return unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	})
	if !ok {
		return 0, false
	}
	return cred.Uid, true
}
