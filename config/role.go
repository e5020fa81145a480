package config

// ownOfReader checks an upstream of a reader. What a refresher needs to ask the issuer is
// ignored, so that both roles can share an environment. A refresh token is refused.
func (p *parser) ownOfReader(d *draft) {
	for _, variable := range []string{d.variable("REFRESH_TOKEN"), d.variable("REFRESH_TOKEN" + fileSuffix)} {
		if p.vars[variable] != "" {
			p.report.add(variable, "must not be given to a reader, which uses the access tokens that refreshers store",
				"remove it here, and give it to the refreshers alone")
		}
	}
	if p.hasProvider(d) && d.UpstreamURL == nil && !p.report.blames(d.variable("UPSTREAM_URL")) {
		p.need(d, "UPSTREAM_URL")
	}
}

// readerState refuses a state that a reader cannot share with refreshers, and reports
// whether it did.
func (p *parser) readerState(c Config) bool {
	if !p.reader || c.State.Kind != "" && c.State.Kind != "file" && c.State.Kind != "memory" {
		return false
	}
	problem := "reader needs a state with a place of its own for access tokens"
	if c.State.Kind != "" {
		problem += ", and " + c.State.Kind + ": has none"
	}
	p.report.add(Prefix+"ROLE", problem, "set TICKETPROXY_STATE as the refreshers have it, "+
		"like kubernetes:NAMESPACE/NAME or postgres://USER@HOST/DATABASE")
	return true
}
