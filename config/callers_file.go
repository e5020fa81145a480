package config

import (
	"errors"
	"maps"
	"slices"

	"ticketproxy/config/callers"
	"ticketproxy/hint"
)

const hintForCallers = "give the path of a readable file in YAML; README says what it holds"

// ReadCallers reads the file of CALLERS_FILE, also again. The error is a *callers.Error with all
// mistakes, or says why there is no such file. No error holds the path.
func (c Config) ReadCallers() (callers.File, error) {
	return readCallers(readFile, c)
}

func readCallers(read func(string) ([]byte, error), c Config) (callers.File, error) {
	content, err := read(c.CallersFile)
	if err != nil {
		return callers.File{}, hint.With(errors.New(unreadable(err)), hintForCallers)
	}
	file, err := callers.Parse(content)
	if err != nil {
		return callers.File{}, err
	}
	var names, accounts []string
	for _, u := range c.Upstreams {
		names = append(names, u.Name)
		if u.OwnsAccount() {
			accounts = append(accounts, u.Name)
		}
	}
	var mistakes []callers.Mistake
	if wrong, ok := errors.AsType[*callers.Error](file.Check(names, accounts)); ok {
		mistakes = wrong.Mistakes
	}
	mistakes = append(mistakes, c.callersListeners(file)...)
	mistakes = append(mistakes, c.callersRoutes(file)...)
	if len(mistakes) > 0 {
		return callers.File{}, &callers.Error{Mistakes: mistakes}
	}
	return file, nil
}

// callersListeners checks the listeners that callers have of their own, beside each other and
// beside those of the program.
func (c Config) callersListeners(file callers.File) []callers.Mistake {
	taken := map[string]Address{}
	for _, u := range c.Upstreams {
		taken["of the upstream "+quote(u.Name)] = u.Listen
	}
	if c.AdminListen != "" {
		taken["TICKETPROXY_ADMIN_LISTEN"] = Address{"tcp", c.AdminListen}
	}
	if c.TokenListen.On() {
		taken["TICKETPROXY_TOKEN_LISTEN"] = c.TokenListen
	}
	var all []callers.Mistake
	for _, name := range slices.Sorted(maps.Keys(file.Callers)) {
		if file.Callers[name].Listen == nil {
			continue
		}
		at := "callers." + name + ".listen"
		add := func(problem, hint string) {
			all = append(all, callers.Mistake{Line: file.Line(at), Where: at, Problem: problem, Hint: hint})
		}
		own := Address(*file.Callers[name].Listen)
		if !own.loopback() && !c.AllowUnauthenticated {
			add(quote(own.String())+" is off loopback, where everyone who reaches it is this caller",
				"listen on 127.0.0.1, give the caller a key, or say TICKETPROXY_ALLOW_UNAUTHENTICATED=true if that network may")
		}
		for _, other := range slices.Sorted(maps.Keys(taken)) {
			if own.overlaps(taken[other]) {
				add(quote(own.String())+" is taken by the listener "+other, "choose another port or path for one of them")
				break
			}
		}
		taken["of the caller "+quote(name)] = own
	}
	return all
}

// callersRoutes checks that HOST and PREFIX tell apart the upstreams of each listener that a
// caller has of its own. These are the upstreams that the caller's rules name.
func (c Config) callersRoutes(file callers.File) []callers.Mistake {
	var all []callers.Mistake
	for _, name := range slices.Sorted(maps.Keys(file.Callers)) {
		caller := file.Callers[name]
		if caller.Listen == nil {
			continue
		}
		var served []Upstream
		for _, u := range c.Upstreams {
			if !caller.Names(u.Name) {
				continue
			}
			i := slices.IndexFunc(served, func(o Upstream) bool { return o.Host == u.Host && o.Prefix == u.Prefix })
			if i >= 0 {
				at := "callers." + name + ".listen"
				all = append(all, callers.Mistake{
					Line:  file.Line(at),
					Where: at,
					Problem: "serves " + quote(served[i].Name) + " and " + quote(u.Name) +
						", and no request says which of them is meant",
					Hint: "set " + u.EnvPrefix + "PREFIX or " + u.EnvPrefix +
						"HOST, or have the caller's rules name one of the two",
				})
			}
			served = append(served, u)
		}
	}
	return all
}

// callersFile checks the file of CALLERS_FILE.
func (p *parser) callersFile(c Config, drafts []*draft) {
	const variable = Prefix + "CALLERS_FILE"
	if _, set := p.vars[variable]; set && c.CallersFile == "" {
		p.report.add(variable, "is empty, and would let everybody call", "give the path of the file, or remove the variable")
	}
	if c.CallersFile == "" {
		return
	}
	for _, d := range drafts {
		c.Upstreams = append(c.Upstreams, d.Upstream)
	}
	_, err := readCallers(p.readFile, c)
	wrong, ok := errors.AsType[*callers.Error](err)
	switch {
	case err == nil:
	case !ok:
		p.report.add(variable, err.Error(), hintForCallers)
	case p.report.blames(Prefix + "UPSTREAMS"): // names are missing that the file may rightly use
	default:
		for _, m := range wrong.Mistakes {
			p.report.add(variable, m.Text(), m.Hint)
		}
	}
}
