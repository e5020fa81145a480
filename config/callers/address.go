package callers

import (
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// String returns the address in the syntax of listen.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Address
	}
	return a.Address
}

// Loopback reports whether only this machine can reach the address.
func (a Address) Loopback() bool {
	host, _, _ := net.SplitHostPort(a.Address)
	return a.Network == "unix" || isLoopback(host)
}

// maxSocketPath is how long the path of a socket can be, with room for the temporary name
// under which it is bound.
const maxSocketPath = 98

// parseAddress parses listen.
func parseAddress(text string) (Address, error) {
	const hint = "write it like 127.0.0.1:8083 or unix:/run/shop.sock"
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		path = filepath.Clean(path)
		plain := !strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f })
		if !filepath.IsAbs(path) || path == "/" || !plain || len(path) > maxSocketPath {
			return Address{}, &flaw{quote(text) + " is not an absolute path of at most 98 characters", hint}
		}
		return Address{"unix", path}, nil
	}
	host, port, err := net.SplitHostPort(text)
	number, wrong := strconv.ParseUint(port, 10, 16)
	if err != nil || wrong != nil || number == 0 {
		return Address{}, &flaw{quote(text) + " is not host:port", hint}
	}
	port = strconv.FormatUint(number, 10)
	if host == "" {
		return Address{}, &flaw{
			quote(text) + " names no host",
			"write 127.0.0.1:" + port + ", or 0.0.0.0:" + port + " if every address is meant",
		}
	}
	if strings.EqualFold(host, "localhost") {
		return Address{"tcp", "localhost:" + port}, nil
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return Address{}, &flaw{quote(text) + " names neither localhost nor an IP address", hint}
	}
	return Address{"tcp", net.JoinHostPort(address.Unmap().String(), port)}, nil
}

// isLoopback reports whether a host is always on loopback (RFC 6761, section 6.3).
func isLoopback(host string) bool {
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}
