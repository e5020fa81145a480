package server

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestLocalhostListensAtBothLoopbackAddresses(t *testing.T) {
	t.Parallel()
	var n Network
	sockets, err := n.Bind(t.Context(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(sockets)
	_, port, _ := net.SplitHostPort(sockets[0].Addr().String())
	if len(sockets) != 2 || sockets[0].Addr().String() != "127.0.0.1:"+port || sockets[1].Addr().String() != "[::1]:"+port {
		t.Fatalf("localhost listens at %v", sockets)
	}
	if more, err := n.Bind(t.Context(), "localhost:"+port); err == nil {
		closeAll(more)
		t.Error("a port in use was taken")
	}
}

func TestLocalhostWithAnUnavailableAddress(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		errs map[string]error // by host
		want string           // the addresses, or the error
	}{
		"no IPv6":          {map[string]error{"::1": syscall.EADDRNOTAVAIL}, "127.0.0.1:80"},
		"no IPv6 sockets":  {map[string]error{"::1": syscall.EAFNOSUPPORT}, "127.0.0.1:80"},
		"no IPv4":          {map[string]error{"127.0.0.1": syscall.EAFNOSUPPORT}, "[::1]:80"},
		"neither":          {map[string]error{"127.0.0.1": syscall.EAFNOSUPPORT, "::1": syscall.EADDRNOTAVAIL}, syscall.EADDRNOTAVAIL.Error()},
		"IPv6 port in use": {map[string]error{"::1": syscall.EADDRINUSE}, syscall.EADDRINUSE.Error()},
		"IPv4 port denied": {map[string]error{"127.0.0.1": syscall.EACCES}, syscall.EACCES.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			open := 0
			n := Network{Listen: func(ctx context.Context, network, address string) (net.Listener, error) {
				host, _, _ := net.SplitHostPort(address)
				if err := test.errs[host]; err != nil {
					return nil, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)}
				}
				open++
				return &fakeSocket{address: address, open: &open}, nil
			}}
			sockets, err := n.Bind(t.Context(), "localhost:80")
			var got []string
			for _, s := range sockets {
				got = append(got, s.Addr().String())
			}
			if err != nil {
				got = append(got, err.Error())
			}
			if all := strings.Join(got, " "); !strings.HasSuffix(all, test.want) || len(got) != 1 {
				t.Errorf("got %s, want %s", all, test.want)
			}
			closeAll(sockets)
			if open != 0 {
				t.Errorf("%d sockets are open", open)
			}
		})
	}
}

func TestIPv4AddressTakesNoIPv6Connections(t *testing.T) {
	t.Parallel()
	var n Network
	sockets, err := n.Bind(t.Context(), "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(sockets)
	if conn, err := net.Dial("tcp6", strings.Replace(sockets[0].Addr().String(), "0.0.0.0", "[::1]", 1)); err == nil {
		conn.Close()
		t.Errorf("%v accepts IPv6 connections", sockets[0].Addr())
	}
}

// A fakeSocket has an address, and counts as open until it is closed.
type fakeSocket struct {
	net.Listener
	address string
	open    *int
}

func (s *fakeSocket) Addr() net.Addr {
	address, _ := net.ResolveTCPAddr("tcp", s.address)
	return address
}

func (s *fakeSocket) Close() error {
	*s.open--
	return nil
}
