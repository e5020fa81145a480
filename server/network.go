package server

import (
	"context"
	"net"
	"net/http"
	"net/url"

	"ticketproxy/proxy"
)

// A Network is how the program is reached and how it reaches others. The zero
// value is the operating system's network, without a proxy on the way out. Safe
// for concurrent use.
type Network struct {
	// Listen opens a socket; nil is [net.ListenConfig.Listen].
	Listen func(ctx context.Context, network, address string) (net.Listener, error)
	// Dial opens a connection; nil is the operating system's.
	Dial proxy.Dialer
	// Proxy returns the proxy on the way out for a request; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
}

func (n Network) listen(ctx context.Context, network, address string) (net.Listener, error) {
	if n.Listen != nil {
		return n.Listen(ctx, network, address)
	}
	return new(net.ListenConfig).Listen(ctx, network, address)
}
