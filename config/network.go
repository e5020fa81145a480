package config

import (
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// An Address is an address to listen on, as for net.Listen. Two addresses with port 0 do
// not overlap: each gets a free port.
type Address struct {
	Network string // "tcp" or "unix"
	Address string // localhost or an IP address, with a port; for unix an absolute path
}

// String returns the address in the syntax of LISTEN.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Address
	}
	return a.Address
}

// maxSocketPath is the size of Linux's sun_path without the final NUL. Other systems have
// a little less.
const maxSocketPath = 107

// tempNameLen is the length of the path, below the socket's directory, at which the socket
// is bound before it is renamed.
const tempNameLen = len("/.12345/s")

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
	if len(path) > maxSocketPath || len(filepath.Dir(path))+tempNameLen > maxSocketPath {
		return nil, &flaw{
			quote(text) + " is longer than the path of a socket can be",
			"choose a path of at most 100 characters",
		}
	}
	return Address{"unix", path}, nil
}

// parseMode parses SOCKET_MODE.
func parseMode(text string) (any, error) {
	mode, err := strconv.ParseUint(text, 8, 32)
	if err != nil || mode > 0o777 {
		return nil, &flaw{
			quote(text) + " is not a file mode in octal",
			"write 0600 for this user alone, or 0660 for a group too",
		}
	}
	if mode&0o600 != 0o600 {
		return nil, &flaw{
			quote(text) + " keeps the socket from its owner",
			"write 0600 for this user alone, or 0660 for a group too",
		}
	}
	return fs.FileMode(mode), nil
}

// parseHostPort parses host:port. The hint shows examples.
func parseHostPort(text, examples string) (Address, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil || !isPort(port, 0) {
		return Address{}, &flaw{quote(text) + " is not host:port", "write it like " + examples}
	}
	port = strings.TrimLeft(port[:len(port)-1], "0") + port[len(port)-1:]
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
		return Address{}, &flaw{quote(text) + " names neither localhost nor an IP address", "write it like " + examples}
	}
	return Address{"tcp", net.JoinHostPort(address.Unmap().String(), port)}, nil
}

// absolute cleans an absolute path. Three leading slashes, as in a URL, become one.
func absolute(text string) (string, bool) {
	if strings.HasPrefix(text, "//") && !strings.HasPrefix(text, "///") {
		return "", false
	}
	plain := !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
	return filepath.Clean(text), plain && filepath.IsAbs(text)
}

// loopback reports whether only this machine can reach the address.
func (a Address) loopback() bool {
	host, _, _ := net.SplitHostPort(a.Address)
	return a.Network == "unix" || isLoopback(host)
}

// anyPort reports whether the system chooses the port.
func (a Address) anyPort() bool {
	return a.Network == "tcp" && strings.HasSuffix(a.Address, ":0")
}

// overlaps reports whether a and b cannot both be bound.
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

// covers reports whether listening on wide also occupies narrow.
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

// listeners checks the addresses of the listeners.
func (p *parser) listeners(c *Config, drafts []*draft) {
	p.admin(c)
	p.tokens(c, drafts)
	for i, d := range drafts {
		p.route(d)
		variable := d.variable("LISTEN")
		if p.report.blames(variable) {
			continue
		}
		p.socketMode(d)
		admin := Address{"tcp", c.AdminListen}
		if !d.Listen.loopback() && c.CallersFile == "" && !c.AllowUnauthenticated &&
			!p.report.blames(Prefix+"ALLOW_UNAUTHENTICATED") {
			p.report.add(variable, quote(d.Listen.String())+" is off loopback, where everyone who reaches it uses the account",
				"listen on 127.0.0.1, say with TICKETPROXY_CALLERS_FILE who may call, "+
					"or say TICKETPROXY_ALLOW_UNAUTHENTICATED=true if that network may")
		}
		if c.AdminListen != "" && !p.report.blames(Prefix+"ADMIN_LISTEN") && d.Listen.overlaps(admin) {
			p.report.add(
				variable,
				quote(d.Listen.String())+" is taken by TICKETPROXY_ADMIN_LISTEN",
				"choose another port for one of them",
			)
		}
		for _, other := range drafts[:i] {
			if p.clash(d, other) {
				break
			}
		}
	}
}

// admin parses ADMIN_LISTEN.
func (p *parser) admin(c *Config) {
	if c.AdminListen == "off" {
		c.AdminListen = ""
		return
	}
	address, err := parseHostPort(c.AdminListen, "127.0.0.1:9090, or off")
	if err != nil {
		p.report.flaw(Prefix+"ADMIN_LISTEN", err)
		return
	}
	c.AdminListen = address.Address
}

// tokenOff has TOKEN_LISTEN=off mean the same as no TOKEN_LISTEN.
func (p *parser) tokenOff() {
	if p.vars[Prefix+"TOKEN_LISTEN"] == "off" {
		delete(p.vars, Prefix+"TOKEN_LISTEN")
	}
}

// tokens checks TOKEN_LISTEN.
func (p *parser) tokens(c *Config, drafts []*draft) {
	const variable = Prefix + "TOKEN_LISTEN"
	if c.TokenListen == (Address{}) || p.report.blames(variable) {
		return
	}
	listen := quote(c.TokenListen.String())
	if !c.TokenListen.loopback() && c.CallersFile == "" {
		p.report.add(variable, listen+" is off loopback, where everyone who reaches it gets access tokens",
			"listen on 127.0.0.1 or on a Unix socket, or say with TICKETPROXY_CALLERS_FILE who may have them")
	}
	if c.AdminListen != "" && !p.report.blames(Prefix+"ADMIN_LISTEN") &&
		c.TokenListen.overlaps(Address{"tcp", c.AdminListen}) {
		p.report.add(variable, listen+" is taken by TICKETPROXY_ADMIN_LISTEN", "choose another port for one of them")
	}
	for _, d := range drafts {
		if other := d.variable("LISTEN"); !p.report.blames(other) && c.TokenListen.overlaps(d.Listen) {
			p.report.add(variable, listen+" is taken by "+other, "choose another address: an app that may call an API "+
				"need not have its tokens")
			return
		}
	}
}

// route parses HOST and PREFIX.
func (p *parser) route(d *draft) {
	if d.Host != "" && !p.hostOfService(d) {
		host, err := parseHost(d.Host)
		if err != nil {
			p.report.flaw(d.variable("HOST"), err)
		}
		d.Host = host
	}
	path, err := parsePath(d.Prefix)
	if err != nil {
		p.report.flaw(d.variable("PREFIX"), err)
	}
	d.Prefix = path
}

// socketMode reports a SOCKET_MODE without a Unix socket.
func (p *parser) socketMode(d *draft) {
	mode := d.variable("SOCKET_MODE")
	if d.Listen.Network != "unix" && p.vars[mode] != "" && !p.report.blames(mode) {
		p.report.add(mode, "is never used, since "+d.variable("LISTEN")+" is no Unix socket",
			"remove it, or set "+d.variable("LISTEN")+" to unix: and a path")
	}
}

// clash adds a mistake if d cannot listen beside other. It returns whether it did.
func (p *parser) clash(d, other *draft) bool {
	listen := d.variable("LISTEN")
	if p.report.blames(other.variable("LISTEN")) || !d.Listen.overlaps(other.Listen) {
		return false
	}
	if d.Listen != other.Listen {
		p.report.add(listen, quote(d.Listen.String())+" overlaps with "+other.variable("LISTEN"),
			"write the same address in both, or choose another port")
		return true
	}
	if d.SocketMode != other.SocketMode && d.Listen.Network == "unix" {
		mode := d.variable("SOCKET_MODE")
		if !p.report.blames(mode, other.variable("SOCKET_MODE")) {
			p.report.add(
				mode,
				"differs from "+other.variable("SOCKET_MODE")+", but both are of the socket "+quote(d.Listen.String()),
				"write the same mode in both, or choose another path in "+listen,
			)
		}
		return true
	}
	if d.Host != other.Host || d.Prefix != other.Prefix ||
		p.report.blames(d.variable("HOST"), d.variable("PREFIX"), other.variable("HOST"), other.variable("PREFIX")) {
		return false
	}
	p.report.add(
		listen,
		quote(d.Listen.String())+" is taken by the upstream "+quote(other.Name)+
			" ("+other.variable("LISTEN")+"), with the same HOST and PREFIX",
		"choose another port, or tell the two apart by "+d.variable("HOST")+" or "+d.variable("PREFIX"),
	)
	return true
}
