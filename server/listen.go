package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"ticketproxy/hint"
	"ticketproxy/loopback"
)

// portTries is how often Bind looks for a port that is free at both addresses
// of localhost.
const portTries = 16

// Bind listens at host:port. An IPv4 address takes no IPv6 connections, not even
// the unspecified address does. The name localhost takes a socket for each of its
// addresses, with the same port; a machine without IPv6 or without IPv4 has one.
func (n Network) Bind(ctx context.Context, address string) ([]net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if !loopback.IsName(host) {
		socket, err := n.listen(ctx, networkOf(host), address)
		if err != nil {
			return nil, err
		}
		return []net.Listener{socket}, nil
	}
	for range portTries {
		var sockets []net.Listener
		if sockets, err = n.bindLoopback(ctx, port); err == nil || port != "0" || !errors.Is(err, syscall.EADDRINUSE) {
			return sockets, err
		}
	}
	return nil, err
}

// bindLoopback listens with one port at each address of loopback.
func (n Network) bindLoopback(ctx context.Context, port string) ([]net.Listener, error) {
	var sockets []net.Listener
	var missing error
	for _, host := range loopback.Addresses() {
		socket, err := n.listen(ctx, networkOf(host), net.JoinHostPort(host, port))
		switch {
		case isNoAddress(err):
			missing = err
		case err != nil:
			closeAll(sockets)
			return nil, err
		default:
			sockets = append(sockets, socket)
			if tcp, ok := socket.Addr().(*net.TCPAddr); ok {
				port = strconv.Itoa(tcp.Port)
			}
		}
	}
	if sockets == nil {
		return nil, missing
	}
	return sockets, nil
}

// networkOf returns what net.Listen calls the network of an address. It would
// open the IPv4 unspecified address of "tcp" for IPv6 too.
func networkOf(host string) string {
	if address, err := netip.ParseAddr(host); err == nil && address.Is4() {
		return "tcp4"
	}
	return "tcp"
}

// isNoAddress reports whether the machine lacks the address, or its family.
func isNoAddress(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}

func closeAll(sockets []net.Listener) {
	for _, s := range sockets {
		s.Close()
	}
}

// open opens a listener's sockets.
func (n Network) open(ctx context.Context, l *listener) ([]net.Listener, error) {
	var sockets []net.Listener
	var err error
	if l.address.Network == "unix" {
		sockets, err = n.bindUnix(ctx, l.address.Address, l.mode)
	} else {
		sockets, err = n.Bind(ctx, l.address.Address)
	}
	if err != nil {
		advice := "choose another address with " + l.variable
		if l.upstreams == nil {
			advice += ", or off"
		}
		return nil, hint.With(fmt.Errorf("listening on %s: %w", l.address, err), advice)
	}
	return sockets, nil
}
