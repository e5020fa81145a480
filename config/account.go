package config

import "slices"

// shared completes an upstream that uses another one's account.
func (p *parser) shared(d *draft, drafts []*draft, dialects []Provider) {
	owner := p.owner(d, drafts)
	if owner == nil {
		return
	}
	p.foreign(d, owner)
	switch d.Provider {
	case "":
		d.Provider = owner.Provider
	case owner.Provider:
	default:
		if !p.report.blames(owner.variable("PROVIDER")) {
			p.report.add(d.variable("PROVIDER"), quote(d.Provider)+" is not the provider of the account of "+quote(owner.Name), "leave it out: the account brings its provider")
		}
		return
	}
	d.TokenURL, d.AuthorizeURL = owner.TokenURL, owner.AuthorizeURL
	d.ClientAuth, d.TokenEncoding, d.Rotation = owner.ClientAuth, owner.TokenEncoding, owner.Rotation

	i := slices.IndexFunc(dialects, func(dialect Provider) bool { return dialect.Name == d.Provider })
	if i < 0 {
		return // the owner's mistake
	}
	given := d.UpstreamURL != nil
	p.upstreamURL(d, dialects[i])
	variable := d.variable("UPSTREAM_URL")
	if !given && d.UpstreamURL != nil && owner.UpstreamURL != nil && *d.UpstreamURL == *owner.UpstreamURL {
		p.missing(variable, "say which API this upstream is: without it, it would be "+quote(owner.Name)+" once more")
	}
}

// owner returns the upstream whose account d uses, or nil if there is none
// that has one.
func (p *parser) owner(d *draft, drafts []*draft) *draft {
	variable := d.variable("ACCOUNT")
	owner := find(drafts, d.Account)
	if owner == nil {
		if p.report.blames(Prefix + "UPSTREAMS") {
			return nil
		}
		var owners []string
		for _, other := range drafts {
			if other.OwnsAccount() {
				owners = append(owners, other.Name)
			}
		}
		cure := "leave it out: no other upstream has an account"
		if len(owners) > 0 {
			cure = cureFor(d.Account, owners)
		}
		p.report.add(variable, quote(d.Account)+" is not an upstream", cure)
		return nil
	}
	if !owner.OwnsAccount() {
		cure := "leave it out, and give the account's variables here"
		if last := find(drafts, owner.Account); last != nil && last.OwnsAccount() {
			cure = "write " + last.Name
		}
		p.report.add(variable, quote(owner.Name)+" uses another upstream's account itself", cure)
		return nil
	}
	return owner
}

// foreign reports what belongs to the account, and so to its owner.
func (p *parser) foreign(d, owner *draft) {
	for _, f := range fields[Upstream]() {
		switch f.key {
		case "CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN", "TOKEN_URL", "AUTHORIZE_URL", "CLIENT_AUTH", "TOKEN_ENCODING", "ROTATION", "REFRESH_TOKEN_LIFETIME":
		default:
			continue
		}
		for _, variable := range f.variables("") {
			if name := d.variable(variable); p.vars[name] != "" && !p.report.blames(name) {
				p.report.add(name, "belongs to the account, which is that of "+quote(owner.Name), "remove it, or say it as "+owner.variable(variable))
			}
		}
	}
}
