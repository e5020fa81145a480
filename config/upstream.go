package config

import "slices"

// upstreams checks each upstream and fills in what it left to its dialect or
// to the upstream whose account it uses.
func (p *parser) upstreams(drafts []*draft, dialects []Provider) {
	for _, d := range drafts {
		if d.prefix == Prefix {
			d.Name = d.Provider
		}
		if d.prefix == Prefix && d.Account != "" && d.Account != d.Name {
			p.report.add(d.variable("ACCOUNT"), quote(d.Account)+" is not an upstream: there is but one", "leave it out, or name several upstreams in TICKETPROXY_UPSTREAMS")
			d.Account = ""
		}
		if d.Account == "" {
			d.Account = d.Name
		}
		if d.OwnsAccount() {
			p.own(d, dialects)
		}
		if d.Timeout <= 0 && !p.report.blames(d.variable("TIMEOUT")) {
			p.report.add(d.variable("TIMEOUT"), quote(d.Timeout.String())+" is not longer than zero", "write a duration like 60s")
		}
		if d.RefreshLife < 0 {
			p.report.add(d.variable("REFRESH_TOKEN_LIFETIME"), quote(d.RefreshLife.String())+" is not longer than zero", "write a duration like 336h")
		}
		p.authorities(d)
	}
	for _, d := range drafts {
		if !d.OwnsAccount() {
			p.shared(d, drafts, dialects)
		}
	}
}

// own completes an upstream with an account of its own.
func (p *parser) own(d *draft, dialects []Provider) {
	if d.ClientID == "" {
		p.missing(d.variable("CLIENT_ID"), "set it to the client's identifier, as the provider shows it")
	} else if err := checkCredential(d.ClientID); err != nil {
		p.report.flaw(d.variable("CLIENT_ID"), err)
	}
	dialect, ok := p.dialect(d, dialects)
	if !ok {
		return
	}
	p.upstreamURL(d, dialect)
	d.TokenURL = p.urlOr(d.variable("TOKEN_URL"), d.TokenURL, dialect.TokenURL)
	if d.TokenURL == nil {
		p.missing(d.variable("TOKEN_URL"), "set it to the issuer's token endpoint, like https://issuer.example.com/token")
	}
	d.AuthorizeURL = p.urlOr(d.variable("AUTHORIZE_URL"), d.AuthorizeURL, dialect.AuthorizeURL)
	p.choose(d, "CLIENT_AUTH", &d.ClientAuth, dialect.ClientAuth)
	p.choose(d, "TOKEN_ENCODING", &d.TokenEncoding, dialect.TokenEncoding)
	p.choose(d, "ROTATION", &d.Rotation, dialect.Rotation)
	p.clientSecret(d)
	d.SeedFile = p.vars[d.variable("REFRESH_TOKEN"+fileSuffix)]
}

// dialect finds what PROVIDER names.
func (p *parser) dialect(d *draft, dialects []Provider) (Provider, bool) {
	var known []string
	for _, dialect := range dialects {
		if dialect.Name == d.Provider && d.Provider != "" {
			return dialect, true
		}
		known = append(known, dialect.Name)
	}
	if d.Provider == "" {
		p.missing(d.variable("PROVIDER"), "write "+alternatives(known))
	} else {
		p.report.add(d.variable("PROVIDER"), quote(d.Provider)+" is not a provider", cureFor(d.Provider, known))
	}
	return Provider{}, false
}

func (p *parser) upstreamURL(d *draft, dialect Provider) {
	variable := d.variable("UPSTREAM_URL")
	d.UpstreamURL = p.urlOr(variable, d.UpstreamURL, dialect.UpstreamURL)
	if d.UpstreamURL == nil {
		p.missing(variable, "set it to the API's origin, like https://api.example.com")
	}
	p.base(variable, d.UpstreamURL)
}

// choose fills in the dialect's choice.
func (p *parser) choose(d *draft, key string, said *string, dialects string) {
	if *said == "" {
		*said = dialects
	}
	if *said == "" {
		i := slices.IndexFunc(fields[Upstream](), func(f field) bool { return f.key == key })
		p.missing(d.variable(key), "write "+alternatives(fields[Upstream]()[i].choices))
	}
}

// clientSecret checks that there is a client secret if and only if the client
// authenticates with one.
func (p *parser) clientSecret(d *draft) {
	variable := d.variable("CLIENT_SECRET")
	if p.report.blames(d.variable("CLIENT_AUTH"), variable, variable+fileSuffix) {
		return
	}
	switch {
	case d.ClientAuth != "none" && d.ClientSecret.IsZero():
		p.missing(variable, "set it, or set "+variable+fileSuffix+" to the path of a file that holds it")
	case d.ClientAuth == "none" && !d.ClientSecret.IsZero():
		if p.vars[variable] == "" {
			variable += fileSuffix
		}
		p.report.add(variable, "is never used, since the client authenticates by none", "remove it, or set "+d.variable("CLIENT_AUTH")+" to body or basic")
	}
}
