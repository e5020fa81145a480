package config

import (
	"path/filepath"
	"strings"
)

// A State says where the accounts' records live.
type State struct {
	Kind string // "file" or "memory"
	Dir  string // of kind file: an absolute path, which need not exist
}

// parseState parses STATE. What is behind an unknown scheme is never shown: it
// may be a database's password.
func parseState(text string) (any, error) {
	const cure = "write file: and an absolute path, like file:/var/lib/ticketproxy, or memory:"
	kind, rest, ok := strings.Cut(text, ":")
	switch {
	case ok && kind == "file":
		dir, ok := absolute(rest)
		if !ok {
			return nil, &flaw{quote(text) + " is not an absolute path", cure}
		}
		return State{Kind: "file", Dir: dir}, nil
	case ok && kind == "memory" && rest == "":
		return State{Kind: "memory"}, nil
	case kind == "kubernetes":
		return nil, &flaw{"this version cannot keep its state in a Kubernetes Secret", "use file:DIR, with DIR on a persistent volume"}
	case kind == "postgres" || kind == "postgresql":
		return nil, &flaw{"this version cannot keep its state in PostgreSQL", "use file:DIR, with DIR on a persistent volume"}
	case kind == "memory":
		return nil, &flaw{"memory has a colon at its end, and nothing after it", "write memory:"}
	}
	return nil, &flaw{"is none of the places where state can live", cure}
}

// state fills in the default of STATE and checks that it keeps what must be
// kept.
func (p *parser) state(c *Config, drafts []*draft, home string) {
	const variable = Prefix + "STATE"
	if p.report.blames(variable) {
		return
	}
	if c.State.Kind == "" {
		// The XDG specification has relative paths ignored.
		if !filepath.IsAbs(home) {
			p.missing(variable, "this user has no home directory of its own for state: write file: and a directory that lasts, like file:/var/lib/ticketproxy")
			return
		}
		c.State = State{Kind: "file", Dir: filepath.Join(home, "ticketproxy")}
	}
	if c.State.Kind != "memory" {
		return
	}
	for _, d := range drafts {
		if d.OwnsAccount() && !p.report.blames(d.variable("ROTATION")) && d.Rotation != "none" && d.Rotation != "" {
			p.report.add(variable, "memory would lose the refresh tokens of "+quote(d.Name)+" at every restart, since they rotate ("+d.Rotation+")",
				"write file: and a directory that lasts, like file:/var/lib/ticketproxy")
		}
	}
}
