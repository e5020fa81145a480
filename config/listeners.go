package config

// listeners checks where apps and operators are to reach us.
func (p *parser) listeners(c *Config, drafts []*draft) {
	p.admin(c)
	for i, d := range drafts {
		p.route(d)
		variable := d.variable("LISTEN")
		if p.report.blames(variable) {
			continue
		}
		p.socketMode(d)
		admin := Address{"tcp", c.AdminListen}
		if !d.Listen.loopback() && !c.AllowUnauthenticated && !p.report.blames(Prefix+"ALLOW_UNAUTHENTICATED") {
			p.report.add(variable, quote(d.Listen.String())+" is off loopback, where everyone who reaches it uses the account",
				"listen on 127.0.0.1, or say TICKETPROXY_ALLOW_UNAUTHENTICATED=true if that network may")
		}
		if c.AdminListen != "" && !p.report.blames(Prefix+"ADMIN_LISTEN") && d.Listen.overlaps(admin) {
			p.report.add(variable, quote(d.Listen.String())+" is taken by TICKETPROXY_ADMIN_LISTEN", "choose another port for one of them")
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

// route parses HOST and PREFIX.
func (p *parser) route(d *draft) {
	if d.Host != "" {
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

// socketMode reports a SOCKET_MODE of what is no Unix socket.
func (p *parser) socketMode(d *draft) {
	mode := d.variable("SOCKET_MODE")
	if d.Listen.Network != "unix" && p.vars[mode] != "" && !p.report.blames(mode) {
		p.report.add(mode, "is never used, since "+d.variable("LISTEN")+" is no Unix socket",
			"remove it, or set "+d.variable("LISTEN")+" to unix: and a path")
	}
}

// clash reports that d cannot listen beside other, and whether it did.
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
			p.report.add(mode, "differs from "+other.variable("SOCKET_MODE")+", but both are of the socket "+quote(d.Listen.String()),
				"write the same mode in both, or choose another path in "+listen)
		}
		return true
	}
	if d.Host != other.Host || d.Prefix != other.Prefix || p.report.blames(d.variable("HOST"), d.variable("PREFIX"), other.variable("HOST"), other.variable("PREFIX")) {
		return false
	}
	p.report.add(listen, quote(d.Listen.String())+" is taken by the upstream "+quote(other.Name)+" ("+other.variable("LISTEN")+"), with the same HOST and PREFIX",
		"choose another port, or tell the two apart by "+d.variable("HOST")+" or "+d.variable("PREFIX"))
	return true
}
