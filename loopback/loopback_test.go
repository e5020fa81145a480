package loopback_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"ticketproxy/loopback"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errRefused = errors.New("connection refused")

// A network has servers at addresses, and records which are dialled.
type network struct {
	servers map[string]net.Addr // the peer's address by the dialled address
	dialled []string
	conns   []net.Conn
}

func (n *network) dial(_ context.Context, _, address string) (net.Conn, error) {
	n.dialled = append(n.dialled, address)
	peer, ok := n.servers[address]
	if !ok {
		return nil, errRefused
	}
	near, far := net.Pipe()
	n.conns = append(n.conns, far)
	return conn{near, peer}, nil
}

type conn struct {
	net.Conn
	peer net.Addr
}

func (c conn) RemoteAddr() net.Addr { return c.peer }

func TestDial(t *testing.T) {
	t.Parallel()
	v4, v6 := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, &net.TCPAddr{IP: net.IPv6loopback, Port: 80}
	elsewhere := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}
	for name, test := range map[string]struct {
		servers map[string]net.Addr
		address string
		dialled []string
		ok      bool
	}{
		"localhost":           {map[string]net.Addr{"127.0.0.1:80": v4, "[::1]:80": v6}, "localhost:80", []string{"127.0.0.1:80"}, true},
		"below localhost":     {map[string]net.Addr{"127.0.0.1:80": v4}, "Api.LocalHost.:80", []string{"127.0.0.1:80"}, true},
		"IPv6 alone":          {map[string]net.Addr{"[::1]:80": v6}, "localhost:80", []string{"127.0.0.1:80", "[::1]:80"}, true},
		"no listener":         {nil, "localhost:80", []string{"127.0.0.1:80", "[::1]:80"}, false},
		"localhost elsewhere": {map[string]net.Addr{"127.0.0.1:80": elsewhere}, "localhost:80", []string{"127.0.0.1:80"}, false},
		"address elsewhere":   {map[string]net.Addr{"127.0.0.2:80": elsewhere}, "127.0.0.2:80", []string{"127.0.0.2:80"}, false},
		"mapped address":      {map[string]net.Addr{"[::ffff:127.0.0.1]:80": v4}, "[::ffff:127.0.0.1]:80", []string{"[::ffff:127.0.0.1]:80"}, true},
		"another name":        {map[string]net.Addr{"localhost.test:80": elsewhere}, "localhost.test:80", []string{"localhost.test:80"}, true},
		"another address":     {map[string]net.Addr{"192.0.2.1:80": elsewhere}, "192.0.2.1:80", []string{"192.0.2.1:80"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := &network{servers: test.servers}
			c, err := loopback.Dial(n.dial)(t.Context(), "tcp", test.address)
			if (err == nil) != test.ok {
				t.Errorf("error %v, want success: %v", err, test.ok)
			}
			if err == nil {
				c.Close()
			}
			if !slices.Equal(n.dialled, test.dialled) {
				t.Errorf("dialled %q, want %q", n.dialled, test.dialled)
			}
			for _, far := range n.conns { // a refused connection is closed
				if _, err := far.Read(make([]byte, 1)); err == nil {
					t.Error("the connection is open")
				}
			}
		})
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	if loopback.Proxy(nil) != nil {
		t.Error("Proxy(nil) is not nil")
	}
	egress := &url.URL{Scheme: "http", Host: "egress.test:3128"}
	choose := loopback.Proxy(func(*http.Request) (*url.URL, error) { return egress, nil })
	for host, proxied := range map[string]bool{
		"localhost": false, "localhost:80": false, "api.localhost": false, "API.Localhost.": false, "127.0.0.2": false, "[::1]:1": false,
		"[::ffff:127.0.0.1]": false, "api.test": true, "localhost.test": true, "mylocalhost": true, "192.0.2.1": true,
	} {
		got, err := choose(&http.Request{URL: &url.URL{Scheme: "http", Host: host}})
		if err != nil || (got != nil) != proxied {
			t.Errorf("%s: proxy %v, error %v; want a proxy: %v", host, got, err, proxied)
		}
	}
}
