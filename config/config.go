// Package config turns the environment into a validated Config. The tags of
// its structs are at once the parser's rules and the user's documentation.
package config

import (
	"crypto/x509"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"ticketproxy/secret"
)

// Prefix begins the name of every variable.
const Prefix = "TICKETPROXY_"

// A Config is what the user said, checked, with every default filled in.
type Config struct {
	Upstreams            []Upstream    `env:"-"`
	State                State         `env:"STATE" default:"file: in the user's state directory" desc:"where the tokens live: file:DIR, or memory: (only for what does not rotate)"`
	AdminListen          string        `env:"ADMIN_LISTEN" envDefault:"127.0.0.1:9090" desc:"address of the listener for health, metrics and status: host:port, or off"` // "" when off
	AdminQuit            bool          `env:"ADMIN_QUIT" envDefault:"false" desc:"whether POST /quit at the admin listener, and with it the verb shutdown, may stop the program"`
	AllowedHosts         []string      `env:"ALLOWED_HOSTS" default:"none" desc:"further Host names, each with an optional port, that the listeners answer to; separated by commas"`
	AllowedOrigins       []string      `env:"ALLOWED_ORIGINS" default:"none" desc:"web origins that may call the listeners, like https://app.example.com; separated by commas"`
	AllowUnauthenticated bool          `env:"ALLOW_UNAUTHENTICATED" envDefault:"false" desc:"whether listeners may be off loopback, where everyone who reaches them uses the account"`
	LogLevel             string        `env:"LOG_LEVEL" envDefault:"info" oneof:"debug info warn error" desc:"the least important level that is logged: debug, info, warn, error"`
	LogFormat            string        `env:"LOG_FORMAT" default:"json (console on a terminal)" oneof:"json console" desc:"json or console"` // "" when the terminal decides
	DrainDelay           time.Duration `env:"DRAIN_DELAY" envDefault:"0s" desc:"after SIGTERM: how long to stay open while not ready"`
	DrainTimeout         time.Duration `env:"DRAIN_TIMEOUT" envDefault:"25s" desc:"after SIGTERM: how long to wait for requests in flight"`
	SecretFiles          []SecretFile  `env:"-"` // that variables name
}

// A SecretFile is a file that holds a secret.
type SecretFile struct {
	Variable string // that names it
	Path     string
}

// An Upstream is one API origin and the place where apps reach it.
//
// When it uses another upstream's account, its credentials are empty, since
// they are that upstream's alone; the issuer's URLs and manners are copied.
type Upstream struct {
	Name          string              `env:"-"` // [a-z][a-z0-9-]*; the provider's name when there is but one upstream
	Provider      string              `env:"PROVIDER" default:"required" desc:"the system's dialect: socialboards, openticket, ticketpark, or generic (plain RFC 6749)"`
	ClientID      string              `env:"CLIENT_ID" default:"required" desc:"the OAuth client's identifier"`
	ClientSecret  secret.String       `env:"CLIENT_SECRET" default:"required as the dialect needs" desc:"the OAuth client's secret"`
	RefreshToken  secret.String       `env:"REFRESH_TOKEN" default:"none: login can write the state instead" desc:"the seed: the first refresh token; after the first rotation the state outranks it, until the seed itself is changed"`
	SeedFile      string              `env:"-"`                                                                                                              // what REFRESH_TOKEN_FILE names, which may change while the program runs; "" when it was given otherwise
	UpstreamURL   *url.URL            `env:"UPSTREAM_URL" default:"the dialect's; required for generic" desc:"the API's origin, with an optional base path"` // Path is "" or begins with a slash and ends without one
	TokenURL      *url.URL            `env:"TOKEN_URL" default:"the dialect's; required for generic" desc:"the issuer's token endpoint"`
	AuthorizeURL  *url.URL            `env:"AUTHORIZE_URL" default:"the dialect's" desc:"the issuer's authorization endpoint, for login through the browser"` // nil when there is none
	Listen        Address             `env:"LISTEN" envDefault:"127.0.0.1:8080" desc:"address of the plain-HTTP listener for apps: host:port, or unix:/path"`
	SocketMode    fs.FileMode         `env:"SOCKET_MODE" envDefault:"0600" desc:"mode of the file of a unix: listener, in octal: 0600 is for this user alone, 0660 for the file's group too"`
	Host          string              `env:"HOST" default:"any" desc:"serve this upstream only for that Host name (without a port: any port matches)"` // lower case; IPv6 in brackets; "" is any
	Prefix        string              `env:"PREFIX" envDefault:"/" desc:"serve this upstream only under that path prefix, which is removed"`           // "/" is all; otherwise without a trailing slash
	Account       string              `env:"ACCOUNT" default:"itself" desc:"use the account of the upstream of that name instead of an own one"`
	ClientAuth    string              `env:"CLIENT_AUTH" default:"the dialect's" oneof:"none body basic" desc:"how the client authenticates to the issuer: none, body, basic"`
	TokenEncoding string              `env:"TOKEN_ENCODING" default:"the dialect's" oneof:"form json" desc:"how requests to the issuer are encoded: form, json"`
	Rotation      string              `env:"ROTATION" default:"the dialect's" oneof:"none maybe single_use" desc:"whether a refresh replaces the refresh token: none, maybe, single_use"`
	RefreshLife   time.Duration       `env:"REFRESH_TOKEN_LIFETIME" default:"what the issuer says, or the dialect's" desc:"how long a refresh token lives, where the issuer does not say: 336h is 14 days"` // 0 when not said
	Timeout       time.Duration       `env:"TIMEOUT" envDefault:"60s" desc:"how long the upstream may take to send response headers"`
	Locations     string              `env:"REWRITE_LOCATION" envDefault:"redirects" oneof:"redirects all never" desc:"in which answers a Location at the API's own origin is made to point to this listener: redirects, all (201, 202 and 204 too), never"`
	Cookies       string              `env:"COOKIES" envDefault:"drop" oneof:"drop pass" desc:"whether cookies go between apps and the API: drop keeps those of other localhost ports away from it, and its own off localhost; pass lets them through"`
	CAFile        string              `env:"CA_FILE" default:"none" desc:"PEM bundle trusted for this upstream and its issuer, besides the system's"`
	CAs           []*x509.Certificate `env:"-"` // what CAFile holds
}

// OwnsAccount reports whether the upstream's account is its own, and not that
// of another upstream.
func (u Upstream) OwnsAccount() bool { return u.Account == u.Name }

// A Provider is what a dialect says of itself: its name, and the defaults of
// the variables. Empty URLs must be said by the user; only AuthorizeURL may
// stay empty.
type Provider struct {
	Name                                string
	UpstreamURL, TokenURL, AuthorizeURL string
	ClientAuth, TokenEncoding, Rotation string
}

// ReadSeed reads a seed's file anew, by the rules of REFRESH_TOKEN_FILE. It is
// empty when the file holds no seed that could be used.
func ReadSeed(path string) secret.String {
	p := newParser(Environment{Vars: []string{Prefix + "REFRESH_TOKEN" + fileSuffix + "=" + path}})
	return secret.New(p.secret(Prefix + "REFRESH_TOKEN"))
}

// An Environment is what Parse may know of the process and its machine.
type Environment struct {
	Vars      []string                     // NAME=value, as os.Environ gives them
	StateHome string                       // the user's directory for state, where the default STATE lies; "" if there is none
	ReadFile  func(string) ([]byte, error) // nil is os.ReadFile
}

// Parse checks the environment's TICKETPROXY_ variables, and those that name
// proxies on the way out. A variable that is set but empty counts as unset. The error is an *Error with all mistakes.
func Parse(environment Environment, providers []Provider) (Config, error) {
	p := newParser(environment)
	var said settings
	p.fill(&said, Prefix)
	drafts := p.drafts(said.Names)
	for _, d := range drafts {
		p.fill(&d.Upstream, d.prefix)
	}
	p.strangers(drafts)

	p.upstreams(drafts, providers)
	p.listeners(&said.Config, drafts)
	p.state(&said.Config, drafts, environment.StateHome)
	said.AllowedHosts = list(p, "ALLOWED_HOSTS", said.AllowedHosts, parseAllowedHost)
	said.AllowedOrigins = list(p, "ALLOWED_ORIGINS", said.AllowedOrigins, parseOrigin)
	p.notNegative("DRAIN_DELAY", said.DrainDelay)
	p.notNegative("DRAIN_TIMEOUT", said.DrainTimeout)
	p.egress(environment.Vars)

	if err := p.report.err(p.known); err != nil {
		return Config{}, err
	}
	for _, d := range drafts {
		said.Upstreams = append(said.Upstreams, d.Upstream)
	}
	said.SecretFiles = p.secretFiles
	return said.Config, nil
}

// ParseAdminListen reads ADMIN_LISTEN alone, for verbs that ask a running
// instance and need not know the rest: "" when it is off.
func ParseAdminListen(environment Environment) (string, error) {
	p := newParser(environment)
	for name := range p.vars {
		if name != Prefix+"ADMIN_LISTEN" {
			delete(p.vars, name)
		}
	}
	var said settings
	p.fill(&said, Prefix)
	p.admin(&said.Config)
	if err := p.report.err(p.known); err != nil {
		return "", err
	}
	return said.AdminListen, nil
}

// list parses a list's items; blank ones are dropped.
func list(p *parser, key string, items []string, parse func(string) (string, error)) []string {
	var good []string
	for _, item := range items {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		parsed, err := parse(item)
		if err != nil {
			p.report.flaw(Prefix+key, err)
			continue
		}
		good = append(good, parsed)
	}
	return good
}
