package proxy

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// Apps are told why a connection broke, and not which addresses it had.
func TestCauseShowsNoAddresses(t *testing.T) {
	t.Parallel()
	reset := &net.OpError{
		Op: "read", Net: "tcp",
		Source: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1234},
		Addr:   &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443},
		Err:    os.NewSyscallError("read", syscall.ECONNRESET),
	}
	got := cause(reset)
	if strings.Contains(got, "1234") || strings.Contains(got, "192.0.2.1") || !strings.Contains(got, "connection reset by peer") {
		t.Error(got)
	}
}
