package main

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"ticketproxy/sandbox"
)

func TestLocalhostTakesBothLoopbackAddresses(t *testing.T) {
	t.Parallel()
	p := &process{listen: new(netListener).listen}
	sockets, err := p.bind(t.Context(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(sockets)
	_, port, _ := net.SplitHostPort(sockets[0].Addr().String())
	if len(sockets) != 2 || sockets[0].Addr().String() != "127.0.0.1:"+port || sockets[1].Addr().String() != "[::1]:"+port {
		t.Fatalf("localhost listens at %v", sockets)
	}
	if more, err := p.bind(t.Context(), "localhost:"+port); err == nil {
		closeAll(more)
		t.Error("a port in use was taken")
	}
}

func TestLocalhostWhereAnAddressCannotBeHad(t *testing.T) {
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
			n := newNetwork()
			p := &process{listen: func(ctx context.Context, network, address string) (net.Listener, error) {
				host, _, _ := net.SplitHostPort(address)
				if err := test.errs[host]; err != nil {
					return nil, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)}
				}
				return n.listen(ctx, network, address)
			}}
			sockets, err := p.bind(t.Context(), "localhost:80")
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
			if len(n.listeners) != 0 {
				t.Errorf("%d sockets are open", len(n.listeners))
			}
		})
	}
}

func TestIPv4AddressTakesNoIPv6Connections(t *testing.T) {
	t.Parallel()
	p := &process{listen: new(netListener).listen}
	sockets, err := p.bind(t.Context(), "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(sockets)
	if conn, err := net.Dial("tcp6", strings.Replace(sockets[0].Addr().String(), "0.0.0.0", "[::1]", 1)); err == nil {
		conn.Close()
		t.Errorf("%v takes IPv6", sockets[0].Addr())
	}
}

// TestLocalhostNeedsNoResolverAndNoProxy names everything by localhost. The
// network of the test knows no names, and nobody is at the proxy.
func TestLocalhostNeedsNoResolverAndNoProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{}, "TICKETPROXY_ADMIN_LISTEN=localhost:9090",
			"HTTP_PROXY=http://192.0.2.1:3128", "HTTPS_PROXY=http://192.0.2.1:3128")
		for i, line := range h.environ {
			line = strings.Replace(line, "=http://127.0.0.1:", "=http://api.localhost:", 1)
			h.environ[i] = strings.Replace(line, "_LISTEN=127.0.0.1:", "_LISTEN=localhost:", 1)
		}
		h.serve()
		for name := range ports() {
			h.mustAnswer(name)
		}
		for _, verb := range []string{"check", "status", "wait"} {
			p := h.process()
			if code := exit(p.stderr, run(t.Context(), p, []string{verb})); code != 0 {
				t.Errorf("%s ends with %d:\n%s", verb, code, h.output)
			}
		}
	})
}
