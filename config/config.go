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
	"regexp"
	"slices"
	"strings"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens/agekey"
	"ticketproxy/tokens/dialect"
)

// Prefix begins the name of every variable.
const Prefix = "TICKETPROXY_"

// A Config is the checked configuration with every default filled in. AdminListen is ""
// when it is off. LogFormat is "" when it depends on the terminal.
type Config struct {
	Upstreams []Upstream `env:"-"`
	State     State      `env:"STATE" default:"file: in STATE_DIRECTORY or the user's state directory"`

	StateKeyFile   string           `env:"STATE_KEY_FILE" default:"none: tokens are in clear, for the owner alone"`
	StateRecipient agekey.Recipient `env:"STATE_RECIPIENT" default:"none"`

	Role                 string        `env:"ROLE" envDefault:"refresher" oneof:"refresher reader"`
	CallersFile          string        `env:"CALLERS_FILE" default:"none: callers are not asked who they are"`
	TokenListen          Address       `env:"TOKEN_LISTEN" default:"off"` // the zero Address is off
	AdminListen          string        `env:"ADMIN_LISTEN" envDefault:"127.0.0.1:9090"`
	AdminQuit            bool          `env:"ADMIN_QUIT" envDefault:"false"`
	AllowedHosts         []string      `env:"ALLOWED_HOSTS" default:"none"`
	AllowedOrigins       []string      `env:"ALLOWED_ORIGINS" default:"none"`
	AllowUnauthenticated bool          `env:"ALLOW_UNAUTHENTICATED" envDefault:"false"`
	TLSCertFile          string        `env:"TLS_CERT_FILE" default:"none: plain HTTP"`
	TLSKeyFile           string        `env:"TLS_KEY_FILE" default:"none"`
	TLSClientCAFile      string        `env:"TLS_CLIENT_CA_FILE" default:"none"`
	AuditLog             AuditLog      `env:"AUDIT_LOG" envDefault:"off"`
	AuditRequired        bool          `env:"AUDIT_REQUIRED" envDefault:"false"`
	LogLevel             string        `env:"LOG_LEVEL" envDefault:"info" oneof:"debug info warn error"`
	LogFormat            string        `env:"LOG_FORMAT" default:"json (console on a terminal)" oneof:"json console"`
	DrainDelay           time.Duration `env:"DRAIN_DELAY" envDefault:"0s"`
	DrainTimeout         time.Duration `env:"DRAIN_TIMEOUT" envDefault:"25s"`

	Egress      Egress       `env:"-"`
	SecretFiles []SecretFile `env:"-"` // the files that variables name
}

// Reader reports whether this instance uses the access tokens that others store, and has no
// refresh token.
func (c Config) Reader() bool { return c.Role == "reader" }

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
	p.tokenOff()
	p.fill(&s, Prefix, nil)
	p.reader = s.Reader()
	drafts := p.drafts(s.Names)
	for _, d := range drafts {
		p.fillUpstream(d)
	}
	p.unknownVariables(drafts)

	p.upstreams(drafts)
	p.listeners(&s.Config, drafts)
	p.tls(&s.Config, drafts)
	p.audit(s.Config)
	p.state(&s.Config, drafts, environment.StateDir)
	p.stateKey(&s.Config)
	s.AllowedHosts = list(p, "ALLOWED_HOSTS", s.AllowedHosts, parseAllowedHost)
	s.AllowedOrigins = list(p, "ALLOWED_ORIGINS", s.AllowedOrigins, parseOrigin)
	p.notNegative("DRAIN_DELAY", s.DrainDelay)
	p.notNegative("DRAIN_TIMEOUT", s.DrainTimeout)
	s.Egress = p.egress(environment.Vars)
	p.callersFile(s.Config, drafts)

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
	p.keep(Prefix + "ADMIN_LISTEN")
	var s settings
	p.fill(&s, Prefix, nil)
	p.admin(&s.Config)
	if err := p.report.err(p.known); err != nil {
		return "", err
	}
	return s.AdminListen, nil
}

// ParseTokenListen is ParseAdminListen for TOKEN_LISTEN. It returns the zero Address when the
// listener is off.
func ParseTokenListen(environment Environment) (Address, error) {
	p := newParser(environment)
	p.keep(Prefix + "TOKEN_LISTEN")
	p.tokenOff()
	var s settings
	p.fill(&s, Prefix, nil)
	if err := p.report.err(p.known); err != nil {
		return Address{}, err
	}
	return s.TokenListen, nil
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
	Kind     string        // "file", "kubernetes", "postgres" or "memory"
	Dir      string        // for kind file: an absolute path, which need not exist
	Secret   string        // for kind kubernetes: NAMESPACE/NAME, or NAME
	Database string        // for kind postgres: its URL without what may be secret
	URL      secret.String // for kind postgres: its URL, which may have a password
}

// String returns the state in the syntax of STATE, without what is secret.
func (s State) String() string {
	if s.Kind == "postgres" {
		return s.Database
	}
	return s.Kind + ":" + s.Dir + s.Secret
}

// Reveal returns the state in the syntax of STATE, with its password.
func (s State) Reveal() string {
	if s.Kind == "postgres" {
		return s.URL.Reveal()
	}
	return s.String()
}

// parseState parses STATE. It never shows the text after an unknown scheme, which may
// hold a database's password.
func parseState(text string) (any, error) {
	const hint = "write file: and an absolute path, like file:/var/lib/ticketproxy, kubernetes:NAMESPACE/NAME, " +
		"postgres://USER@HOST/DATABASE, or memory:"
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
	case ok && kind == "kubernetes":
		if !namesSecret(rest) {
			return nil, &flaw{
				"does not name a Secret",
				"write kubernetes:NAMESPACE/NAME, or kubernetes:NAME for the namespace of the pod",
			}
		}
		return State{Kind: "kubernetes", Secret: rest}, nil
	case kind == "postgres" || kind == "postgresql":
		return parsePostgres(text)
	case kind == "memory":
		return nil, &flaw{"memory has a colon at its end, and nothing after it", "write memory:"}
	}
	return nil, &flaw{"is none of the places where state can live", hint}
}

// namesSecret reports whether text is NAMESPACE/NAME or NAME, by the rules of Kubernetes:
// a namespace is a DNS label, and a Secret's name is a DNS subdomain.
func namesSecret(text string) bool {
	namespace, name, ok := strings.Cut(text, "/")
	if !ok {
		namespace, name = "default", text
	}
	label := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	if len(namespace) > 63 || len(name) > 253 || !label.MatchString(namespace) {
		return false
	}
	return !slices.ContainsFunc(strings.Split(name, "."), func(part string) bool { return !label.MatchString(part) })
}

// state fills in the default of STATE, and refuses a state in memory for refresh tokens
// that rotate.
func (p *parser) state(c *Config, drafts []*draft, dir string) {
	const variable = Prefix + "STATE"
	if p.report.blames(variable, variable+fileSuffix) || p.readerState(*c) {
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
