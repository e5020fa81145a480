package config

import "reflect"

// shared completes an upstream that uses another upstream's account.
func (p *parser) shared(d *draft, drafts []*draft) {
	owner := p.owner(d, drafts)
	if owner == nil {
		return
	}
	p.ownersVariables(d, owner)
	switch d.Provider {
	case "":
		d.Provider = owner.Provider
	case owner.Provider:
	default:
		if !p.report.blames(owner.variable("PROVIDER")) {
			p.report.add(d.variable("PROVIDER"), quote(d.Provider)+" is not the provider of the account of "+quote(owner.Name),
				"leave it out: the account brings its provider")
		}
		return
	}
	copyAccount(&d.Upstream, owner.Upstream)
	variable := d.variable("UPSTREAM_URL")
	switch {
	case d.Dialect.Name == "": // reported for the owner
	case d.UpstreamURL == nil:
		p.need(d, "UPSTREAM_URL")
	case p.vars[variable] == "" && owner.UpstreamURL != nil && *d.UpstreamURL == *owner.UpstreamURL:
		p.missing(variable, "say which API this upstream is: otherwise it would be a copy of "+quote(owner.Name))
	}
}

// owner returns the upstream whose account d uses. It reports a mistake and returns nil if
// that upstream does not exist or does not own its account.
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
		hint := "leave it out: no other upstream has an account"
		if len(owners) > 0 {
			hint = hintFor(d.Account, owners)
		}
		p.report.add(variable, quote(d.Account)+" is not an upstream", hint)
		return nil
	}
	if !owner.OwnsAccount() {
		hint := "leave it out, and give the account's variables here"
		if last := find(drafts, owner.Account); last != nil && last.OwnsAccount() {
			hint = "write " + last.Name
		}
		p.report.add(variable, quote(owner.Name)+" uses another upstream's account itself", hint)
		return nil
	}
	return owner
}

// ownersVariables reports variables of d that may be set only for the owner of the account.
func (p *parser) ownersVariables(d, owner *draft) {
	for _, f := range fields[Upstream]() {
		if !f.account {
			continue
		}
		for _, variable := range f.variables("") {
			if name := d.variable(variable); p.vars[name] != "" && !p.report.blames(name) {
				p.report.add(name, "belongs to the account, which is that of "+quote(owner.Name),
					"remove it, or say it as "+owner.variable(variable))
			}
		}
	}
}

// copyAccount copies the fields to d that belong to owner's account and have a default in
// the dialect.
func copyAccount(d *Upstream, owner Upstream) {
	defaults := defaultsOf(owner.Dialect)
	from, to := reflect.ValueOf(owner), reflect.ValueOf(d).Elem()
	for _, f := range fields[Upstream]() {
		if _, ok := defaults[f.key]; ok && f.account {
			to.FieldByIndex(f.index).Set(from.FieldByIndex(f.index))
		}
	}
}
