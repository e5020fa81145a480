package config

import (
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// An Address is where to listen, as net.Listen takes it. Addresses with port 0
// are never the same place: each is any free port.
type Address struct {
	Network string // "tcp" or "unix"
	Address string // localhost or an IP address, with a port; or an absolute path
}

// String gives the address as LISTEN has it.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Address
	}
	return a.Address
}

// maxSocketPath is what Linux's sun_path holds besides its final NUL; other
// systems hold a little less.
const maxSocketPath = 107

// bindRoom is what a path below the socket's directory takes, at which the
// socket is bound before it comes to its place.
const bindRoom = len("/.12345/s")

// parseAddress parses LISTEN.
func parseAddress(text string) (any, error) {
	path, ok := strings.CutPrefix(text, "unix:")
	if !ok {
		return parseHostPort(text, "127.0.0.1:8080 or unix:/run/ticketproxy.sock")
	}
	path, ok = absolute(path)
	if !ok || path == "/" {
		return nil, &flaw{quote(text) + " is not an absolute path", "write it like unix:/run/ticketproxy.sock"}
	}
	if len(path) > maxSocketPath || len(filepath.Dir(path))+bindRoom > maxSocketPath {
		return nil, &flaw{quote(text) + " is longer than the path of a socket can be", "choose a path of at most 100 characters"}
	}
	return Address{"unix", path}, nil
}

// parseMode parses SOCKET_MODE.
func parseMode(text string) (any, error) {
	mode, err := strconv.ParseUint(text, 8, 32)
	if err != nil || mode > 0o777 {
		return nil, &flaw{quote(text) + " is not a file mode in octal", "write 0600 for this user alone, or 0660 for a group too"}
	}
	if mode&0o600 != 0o600 {
		return nil, &flaw{quote(text) + " keeps the socket from its owner", "write 0600 for this user alone, or 0660 for a group too"}
	}
	return fs.FileMode(mode), nil
}

// parseHostPort parses host:port; examples are for the cure.
func parseHostPort(text, examples string) (Address, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil || !isPort(port, 0) {
		return Address{}, &flaw{quote(text) + " is not host:port", "write it like " + examples}
	}
	port = strings.TrimLeft(port[:len(port)-1], "0") + port[len(port)-1:]
	if host == "" {
		return Address{}, &flaw{quote(text) + " names no host", "write 127.0.0.1:" + port + ", or 0.0.0.0:" + port + " if every address is meant"}
	}
	if strings.EqualFold(host, "localhost") {
		return Address{"tcp", "localhost:" + port}, nil
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return Address{}, &flaw{quote(text) + " names neither localhost nor an IP address", "write it like " + examples}
	}
	return Address{"tcp", net.JoinHostPort(address.Unmap().String(), port)}, nil
}

// absolute cleans an absolute path; three slashes, as in a URL, are one.
func absolute(text string) (string, bool) {
	if strings.HasPrefix(text, "//") && !strings.HasPrefix(text, "///") {
		return "", false
	}
	plain := !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
	return filepath.Clean(text), plain && filepath.IsAbs(text)
}

// loopback reports whether only this machine reaches the address.
func (a Address) loopback() bool {
	host, _, _ := net.SplitHostPort(a.Address)
	return a.Network == "unix" || isLoopback(host)
}

// anyPort reports whether the system chooses the port.
func (a Address) anyPort() bool {
	return a.Network == "tcp" && strings.HasSuffix(a.Address, ":0")
}

// overlaps reports whether two sockets could not be bound to a and b.
func (a Address) overlaps(b Address) bool {
	if a.anyPort() || b.anyPort() || a.Network != b.Network {
		return false
	}
	if a == b || a.Network == "unix" {
		return a == b
	}
	aHost, aPort, _ := net.SplitHostPort(a.Address)
	bHost, bPort, _ := net.SplitHostPort(b.Address)
	return aPort == bPort && (covers(aHost, bHost) || covers(bHost, aHost))
}

// covers reports whether listening on wide takes narrow too.
func covers(wide, narrow string) bool {
	switch wide {
	case "::":
		return true
	case "0.0.0.0":
		return !strings.Contains(narrow, ":")
	case "localhost":
		return narrow == "127.0.0.1" || narrow == "::1"
	}
	return false
}
