// Package config parses the environment into a checked [Config]. The tags of its structs
// declare each variable: name, default, choices, and whether it belongs to the account.
// The help text, README's table, the _FILE variables, the check for unknown variables and
// shared accounts derive from these tags. The package knows the dialects, which have
// defaults, and nothing of tokens or HTTP.
//
// Begin reading at [Parse]. To add a variable, declare it in [Config] or [Upstream], and
// add its meaning to help.go.
package config

import (
	"path/filepath"
	"strings"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens/dialect"
)

// Prefix begins the name of every variable.
const Prefix = "TICKETPROXY_"

// A Config is the checked configuration with every default filled in. AdminListen is ""
// when it is off. LogFormat is "" when it depends on the terminal.
type Config struct {
	Upstreams            []Upstream    `env:"-"`
	State                State         `env:"STATE" default:"file: in STATE_DIRECTORY or the user's state directory"`
	AdminListen          string        `env:"ADMIN_LISTEN" envDefault:"127.0.0.1:9090"`
	AdminQuit            bool          `env:"ADMIN_QUIT" envDefault:"false"`
	AllowedHosts         []string      `env:"ALLOWED_HOSTS" default:"none"`
	AllowedOrigins       []string      `env:"ALLOWED_ORIGINS" default:"none"`
	AllowUnauthenticated bool          `env:"ALLOW_UNAUTHENTICATED" envDefault:"false"`
	LogLevel             string        `env:"LOG_LEVEL" envDefault:"info" oneof:"debug info warn error"`
	LogFormat            string        `env:"LOG_FORMAT" default:"json (console on a terminal)" oneof:"json console"`
	DrainDelay           time.Duration `env:"DRAIN_DELAY" envDefault:"0s"`
	DrainTimeout         time.Duration `env:"DRAIN_TIMEOUT" envDefault:"25s"`

	Egress      Egress       `env:"-"`
	SecretFiles []SecretFile `env:"-"` // the files that variables name
}

// settings are the variables of the whole program.
type settings struct {
	Names []string `env:"UPSTREAMS" default:"none: one upstream without a name"`
	Config
}

// A SecretFile is a file that holds a secret.
type SecretFile struct {
	Variable string // the variable that names the file
	Path     string
}

// An Environment is the input of Parse.
type Environment struct {
	Vars     []string                     // NAME=value, as os.Environ gives them
	StateDir string                       // the default directory of STATE; "" if there is none
	ReadFile func(string) ([]byte, error) // nil reads regular files of the operating system
	Dialects []dialect.Dialect            // the values of PROVIDER; nil is dialect.All
}

// Parse checks the TICKETPROXY_ variables and the variables for egress proxies. A variable
// that is set but empty counts as unset. The error is an *Error with all mistakes.
func Parse(environment Environment) (Config, error) {
	p := newParser(environment)
	var s settings
	p.fill(&s, Prefix, nil)
	drafts := p.drafts(s.Names)
	for _, d := range drafts {
		p.fillUpstream(d)
	}
	p.unknownVariables(drafts)

	p.upstreams(drafts)
	p.listeners(&s.Config, drafts)
	p.state(&s.Config, drafts, environment.StateDir)
	s.AllowedHosts = list(p, "ALLOWED_HOSTS", s.AllowedHosts, parseAllowedHost)
	s.AllowedOrigins = list(p, "ALLOWED_ORIGINS", s.AllowedOrigins, parseOrigin)
	p.notNegative("DRAIN_DELAY", s.DrainDelay)
	p.notNegative("DRAIN_TIMEOUT", s.DrainTimeout)
	s.Egress = p.egress(environment.Vars)

	if err := p.report.err(p.known); err != nil {
		return Config{}, err
	}
	for _, d := range drafts {
		s.Upstreams = append(s.Upstreams, d.Upstream)
	}
	s.SecretFiles = p.secretFiles
	return s.Config, nil
}

// ParseAdminListen parses only ADMIN_LISTEN, for verbs that ask a running instance. It
// returns "" when the listener is off.
func ParseAdminListen(environment Environment) (string, error) {
	p := newParser(environment)
	for name := range p.vars {
		if name != Prefix+"ADMIN_LISTEN" {
			delete(p.vars, name)
		}
	}
	var s settings
	p.fill(&s, Prefix, nil)
	p.admin(&s.Config)
	if err := p.report.err(p.known); err != nil {
		return "", err
	}
	return s.AdminListen, nil
}

// ReadSeed reads a seed's file again, by the rules of REFRESH_TOKEN_FILE. It returns an
// empty string when the file holds no valid seed.
func ReadSeed(path string) secret.String {
	p := newParser(Environment{Vars: []string{Prefix + "REFRESH_TOKEN" + fileSuffix + "=" + path}})
	return secret.New(p.secret(Prefix + "REFRESH_TOKEN"))
}

// list parses a list's items. It skips blank ones.
func list(p *parser, key string, items []string, parse func(string) (string, error)) []string {
	var parsed []string
	for _, item := range items {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		value, err := parse(item)
		if err != nil {
			p.report.flaw(Prefix+key, err)
			continue
		}
		parsed = append(parsed, value)
	}
	return parsed
}

// A State says where the accounts' records are stored.
type State struct {
	Kind string // "file" or "memory"
	Dir  string // for kind file: an absolute path, which need not exist
}

// String returns the state in the syntax of STATE.
func (s State) String() string { return s.Kind + ":" + s.Dir }

// parseState parses STATE. It never shows the text after an unknown scheme, which may
// hold a database's password.
func parseState(text string) (any, error) {
	const hint = "write file: and an absolute path, like file:/var/lib/ticketproxy, or memory:"
	kind, rest, ok := strings.Cut(text, ":")
	switch {
	case ok && kind == "file":
		dir, ok := absolute(rest)
		if !ok {
			return nil, &flaw{quote(text) + " is not an absolute path", hint}
		}
		return State{Kind: "file", Dir: dir}, nil
	case ok && kind == "memory" && rest == "":
		return State{Kind: "memory"}, nil
	case kind == "kubernetes":
		return nil, &flaw{
			"this version cannot keep its state in a Kubernetes Secret",
			"use file:DIR, with DIR on a persistent volume",
		}
	case kind == "postgres" || kind == "postgresql":
		return nil, &flaw{
			"this version cannot keep its state in PostgreSQL",
			"use file:DIR, with DIR on a persistent volume",
		}
	case kind == "memory":
		return nil, &flaw{"memory has a colon at its end, and nothing after it", "write memory:"}
	}
	return nil, &flaw{"is none of the places where state can live", hint}
}

// state fills in the default of STATE, and refuses a state in memory for refresh tokens
// that rotate.
func (p *parser) state(c *Config, drafts []*draft, dir string) {
	const variable = Prefix + "STATE"
	if p.report.blames(variable) {
		return
	}
	if c.State.Kind == "" {
		// The XDG specification says that relative paths are ignored.
		if !filepath.IsAbs(dir) {
			p.missing(variable, "this user has no home directory of its own for state: write file: and a directory "+
				"that lasts, like file:/var/lib/ticketproxy")
			return
		}
		c.State = State{Kind: "file", Dir: filepath.Clean(dir)}
	}
	if c.State.Kind != "memory" {
		return
	}
	for _, d := range drafts {
		if d.OwnsAccount() && !p.report.blames(d.variable("ROTATION")) && d.Rotation != "none" && d.Rotation != "" {
			p.report.add(
				variable,
				"memory would lose the refresh tokens of "+quote(d.Name)+" at every restart, since they rotate ("+d.Rotation+")",
				"write file: and a directory that lasts, like file:/var/lib/ticketproxy",
			)
		}
	}
}
