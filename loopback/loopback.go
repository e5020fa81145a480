// Package loopback connects to localhost and all names below it (RFC 6761, section 6.3).
// It uses no resolver and no proxy, because either could send a token in clear to
// another machine. It imports no other package of this module.
package loopback

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// A DialFunc opens connections, as net.Dialer.DialContext does.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// A ProxyFunc chooses the proxy of a request, as http.Transport.Proxy does.
type ProxyFunc = func(*http.Request) (*url.URL, error)

// IsName reports whether host is localhost or a name below it.
func IsName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Is reports whether host is localhost, a name below it, or a loopback address.
func Is(host string) bool {
	address, err := netip.ParseAddr(host)
	return IsName(host) || err == nil && address.Unmap().IsLoopback()
}

// Addresses returns the addresses of localhost and the names below it.
func Addresses() []string { return []string{"127.0.0.1", "::1"} }

// Dial returns a DialFunc that connects a loopback name to the first of Addresses that
// accepts, and everything else with dial. It refuses a connection to a loopback host
// whose peer is not on loopback.
func Dial(dial DialFunc) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil || !Is(host) {
			return dial(ctx, network, address)
		}
		hosts := []string{host}
		if IsName(host) {
			hosts = Addresses()
		}
		var errs []error
		for _, host := range hosts {
			conn, err := dial(ctx, network, net.JoinHostPort(host, port))
			if err == nil {
				return checked(conn, address)
			}
			errs = append(errs, err)
			if ctx.Err() != nil {
				break
			}
		}
		return nil, errors.Join(errs...)
	}
}

// checked returns the connection if its peer is on loopback.
func checked(conn net.Conn, address string) (net.Conn, error) {
	peer, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok || peer.IP.IsLoopback() {
		return conn, nil
	}
	conn.Close()
	return nil, fmt.Errorf("connecting to %s: the peer %s is not on loopback", address, peer)
}

// Proxy returns a ProxyFunc that uses no proxy for loopback, and proxy otherwise. It
// returns nil if proxy is nil.
func Proxy(proxy ProxyFunc) ProxyFunc {
	if proxy == nil {
		return nil
	}
	return func(r *http.Request) (*url.URL, error) {
		if Is(r.URL.Hostname()) {
			return nil, nil
		}
		return proxy(r)
	}
}
