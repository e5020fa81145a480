package config

import (
	"crypto/x509"
	"io/fs"
	"net/url"
	"reflect"
	"slices"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens/dialect"
)

// An Upstream is one API origin and the address at which apps reach it.
//
// A field with scope account belongs to the upstream's account. If the account is another
// upstream's, the credentials here are empty, and the other fields of that scope are
// copied from it. The tag envDefault is a default value; the tag default says in words
// what happens without the variable.
type Upstream struct {
	Name string `env:"-"` // [a-z][a-z0-9-]*; the provider's name if there is only one upstream
	// EnvPrefix begins the names of its variables: TICKETPROXY_, or TICKETPROXY_PARK_ where
	// UPSTREAMS names park.
	EnvPrefix string `env:"-"`

	Provider string          `env:"PROVIDER" default:"required"`
	Dialect  dialect.Dialect `env:"-"` // the provider's, with the user's settings

	ClientID     string        `env:"CLIENT_ID" scope:"account" default:"required"`
	ClientSecret secret.String `env:"CLIENT_SECRET" scope:"account" default:"required as the dialect needs"`
	RefreshToken secret.String `env:"REFRESH_TOKEN" scope:"account" default:"none: login can write the state instead"`
	// SecretFile and SeedFile are the values of CLIENT_SECRET_FILE and REFRESH_TOKEN_FILE.
	// The content of SeedFile may change while the program runs.
	SecretFile string `env:"-"`
	// AnyClientAuth says that CLIENT_AUTH is not set, and the issuer's metadata decides.
	AnyClientAuth bool   `env:"-"`
	SeedFile      string `env:"-"`

	// UpstreamURL has the Path "", or one that begins with a slash and does not end with one.
	UpstreamURL  *url.URL `env:"UPSTREAM_URL" default:"the dialect's; required for generic"`
	IssuerURL    *url.URL `env:"ISSUER_URL" scope:"account" default:"none"` // nil when there is none
	TokenURL     *url.URL `env:"TOKEN_URL" scope:"account" default:"the dialect's; required for generic"`
	AuthorizeURL *url.URL `env:"AUTHORIZE_URL" scope:"account" default:"the dialect's"` // nil when there is none

	Listen     Address     `env:"LISTEN" envDefault:"127.0.0.1:8080"`
	SocketMode fs.FileMode `env:"SOCKET_MODE" envDefault:"0600"`
	Host       string      `env:"HOST" default:"any"`       // lower case; IPv6 in brackets; "" is any
	Prefix     string      `env:"PREFIX" envDefault:"/"`    // "/" is all; otherwise without a trailing slash
	Account    string      `env:"ACCOUNT" default:"itself"` // the name of the upstream that owns the account

	ClientAuth    string `env:"CLIENT_AUTH" scope:"account" default:"the dialect's" oneof:"none body basic basic_plain"`
	TokenEncoding string `env:"TOKEN_ENCODING" scope:"account" default:"the dialect's" oneof:"form json"`
	Rotation      string `env:"ROTATION" scope:"account" default:"the dialect's" oneof:"none maybe single_use"`

	Grant string `env:"GRANT" scope:"account" envDefault:"refresh_token" oneof:"refresh_token client_credentials"`

	Scope        string        `env:"SCOPE" scope:"account" default:"none"`
	TokenParams  secret.String `env:"TOKEN_PARAMS" scope:"account" default:"none"`
	TokenHeaders secret.String `env:"TOKEN_HEADERS" scope:"account" default:"none"`

	Lifetime time.Duration `env:"REFRESH_TOKEN_LIFETIME" scope:"account" default:"what the issuer says, or the dialect's"`

	Timeout   time.Duration `env:"TIMEOUT" envDefault:"60s"`
	Locations string        `env:"REWRITE_LOCATION" envDefault:"redirects" oneof:"redirects all never"`
	// RefusedStatus are statuses from 400 to 599, but not 401.
	RefusedStatus []StatusCode `env:"REFUSED_STATUS" default:"none"`

	Cookies string `env:"COOKIES" envDefault:"drop" oneof:"drop pass"`

	CAFile string              `env:"CA_FILE" default:"none"`
	CAs    []*x509.Certificate `env:"-"` // from CAFile
}

// OwnsAccount reports whether the upstream has its own account, and not that of another
// upstream.
func (u Upstream) OwnsAccount() bool { return u.Account == u.Name }

// ClientCredentials reports whether the account's tokens are obtained in the client's own
// name (RFC 6749, section 4.4), with no refresh token.
func (u Upstream) ClientCredentials() bool { return u.Grant == "client_credentials" }

// A draft is an upstream that is being checked.
type draft struct {
	Upstream
}

func (d *draft) variable(key string) string { return d.EnvPrefix + key }

// fillUpstream fills a draft from its variables and from the dialect that
// PROVIDER names. An upstream that uses another upstream's account has its provider.
func (p *parser) fillUpstream(d *draft) {
	provider := p.vars[d.variable("PROVIDER")]
	if account := p.vars[d.variable("ACCOUNT")]; provider == "" && account != "" && d.EnvPrefix != Prefix {
		provider = p.vars[prefixFor(account)+"PROVIDER"]
	}
	if i := slices.IndexFunc(p.dialects, func(known dialect.Dialect) bool { return known.Name == provider }); i >= 0 {
		d.Dialect = p.dialects[i]
	}
	p.fill(&d.Upstream, d.EnvPrefix, defaultsOf(d.Dialect))
}

// upstreams checks each upstream, and completes those that use another upstream's account.
func (p *parser) upstreams(drafts []*draft) {
	for _, d := range drafts {
		if d.EnvPrefix == Prefix {
			d.Name = d.Provider
		}
		if d.EnvPrefix == Prefix && d.Account != "" && d.Account != d.Name {
			p.report.add(d.variable("ACCOUNT"), quote(d.Account)+" is not an upstream: there is but one",
				"leave it out, or name several upstreams in TICKETPROXY_UPSTREAMS")
			d.Account = ""
		}
		if d.Account == "" {
			d.Account = d.Name
		}
		p.basePath(d)
		if d.OwnsAccount() {
			p.own(d)
		}
		if d.Timeout <= 0 && !p.report.blames(d.variable("TIMEOUT")) {
			p.report.add(d.variable("TIMEOUT"), quote(d.Timeout.String())+" is not longer than zero", "write a duration "+
				"like 60s")
		}
		if d.Lifetime < 0 {
			p.report.add(d.variable("REFRESH_TOKEN_LIFETIME"), quote(d.Lifetime.String())+" is not longer than zero",
				"write a duration like 336h")
		}
		p.authorities(d)
	}
	for _, d := range drafts {
		if !d.OwnsAccount() {
			p.shared(d, drafts)
		}
		d.Dialect = withSettings(d.Dialect, d.Upstream)
	}
}

// own checks an upstream that owns its account.
func (p *parser) own(d *draft) {
	if p.reader {
		p.ownOfReader(d)
		return
	}
	if err := checkCredential(d.ClientID); err != nil {
		p.report.flaw(d.variable("CLIENT_ID"), err)
	}
	if !p.hasProvider(d) {
		if d.ClientID == "" {
			p.need(d, "CLIENT_ID")
		}
		return
	}
	for _, f := range fields[Upstream]() {
		if f.key == "TOKEN_URL" && d.IssuerURL != nil {
			continue
		}
		if f.hintWhenMissing() != "" && reflect.ValueOf(d.Upstream).FieldByIndex(f.index).IsZero() {
			p.need(d, f.key)
		}
	}
	p.issuerURL(d)
	p.clientSecret(d)
	p.tokenRequests(d)
	if d.ClientCredentials() {
		p.clientCredentials(d)
	}
	d.SecretFile = p.vars[d.variable("CLIENT_SECRET"+fileSuffix)]
	d.SeedFile = p.vars[d.variable("REFRESH_TOKEN"+fileSuffix)]
}

// hasProvider reports whether PROVIDER names a dialect.
func (p *parser) hasProvider(d *draft) bool {
	var known []string
	for _, one := range p.dialects {
		if one.Name == d.Provider && d.Provider != "" {
			return true
		}
		known = append(known, one.Name)
	}
	if d.Provider == "" {
		p.missing(d.variable("PROVIDER"), "write "+alternatives(known))
	} else {
		p.report.add(d.variable("PROVIDER"), quote(d.Provider)+" is not a provider", hintFor(d.Provider, known))
	}
	return false
}

// need reports a missing required variable.
func (p *parser) need(d *draft, key string) {
	all := fields[Upstream]()
	f := all[slices.IndexFunc(all, func(f field) bool { return f.key == key })]
	p.missing(d.variable(key), f.hintWhenMissing())
}

// clientSecret checks that there is a client secret if the client authenticates with one,
// and otherwise none.
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
		p.report.add(variable, "is never used, since the client authenticates by none",
			"remove it, or set "+d.variable("CLIENT_AUTH")+" to body, basic or basic_plain")
	}
}
