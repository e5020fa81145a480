package server

import (
	"context"
	"net"
	"net/http"
	"net/url"

	"ticketproxy/config"
	"ticketproxy/proxy/upstream"
)

// A Network is how the program is reached and how it reaches others. The zero
// value is the operating system's network. Safe for concurrent use.
type Network struct {
	// Listen opens a socket; nil is [net.ListenConfig.Listen].
	Listen func(ctx context.Context, network, address string) (net.Listener, error)
	// Dial opens a connection; nil is the operating system's.
	Dial upstream.Dialer
}

func (n Network) listen(ctx context.Context, network, address string) (net.Listener, error) {
	if n.Listen != nil {
		return n.Listen(ctx, network, address)
	}
	return new(net.ListenConfig).Listen(ctx, network, address)
}

// outbound is how issuers and APIs are reached: over the network, and through the
// proxies that the user named.
type outbound struct {
	dial  upstream.Dialer                       // nil is the operating system's
	proxy func(*http.Request) (*url.URL, error) // nil is none
}

func (n Network) outbound(c config.Config) outbound { return outbound{n.Dial, egressProxy(c.Egress)} }
