package config

import (
	"io"
	"strings"

	"ticketproxy/tokens/dialect"
)

// A Variable describes a variable to a user.
type Variable struct {
	Name        string // the full name
	File        string // for a secret: the variable that may name a file instead; otherwise ""
	Meaning     string
	Default     string // a description where there is no single value; "required" without a default
	PerUpstream bool   // Name is the variable of a single upstream without a name
}

// Variables returns all variables, first those of an upstream, then those of the whole
// program.
func Variables() []Variable {
	var all []Variable
	meanings := meanings()
	add := func(declared []field, perUpstream bool) {
		for _, f := range declared {
			v := Variable{Name: Prefix + f.key, Meaning: meanings[f.key], Default: f.fallback, PerUpstream: perUpstream}
			if f.secret {
				v.File = v.Name + fileSuffix
			}
			all = append(all, v)
		}
	}
	add(fields[Upstream](), true)
	add(fields[settings](), false)
	return all
}

// Help writes every variable with its meaning and default.
func Help(w io.Writer) error {
	var b strings.Builder
	b.WriteString("An upstream (one of several: " + Prefix + "PARK_PROVIDER, if " + Prefix + "UPSTREAMS names park):\n")
	perUpstream := true
	for _, v := range Variables() {
		if v.PerUpstream != perUpstream {
			perUpstream = v.PerUpstream
			b.WriteString("\nThe whole program:\n")
		}
		b.WriteString("\n  " + v.Name)
		if v.File != "" {
			b.WriteString(", or " + v.File)
		}
		b.WriteString("\n      " + v.Meaning + "\n      default: " + v.Default + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// meanings returns the meaning of each variable by its name without the prefix.
func meanings() map[string]string {
	return map[string]string{
		// Variables of an upstream.
		"PROVIDER":      "the system's dialect: " + providers() + " (plain RFC 6749)",
		"CLIENT_ID":     "the OAuth client's identifier",
		"CLIENT_SECRET": "the OAuth client's secret",
		"REFRESH_TOKEN": "the seed: the first refresh token; after the first rotation the state is used instead, until the " +
			"seed itself is changed",
		"UPSTREAM_URL": "the API's origin, with an optional base path",
		"ISSUER_URL": "the issuer's identifier: its metadata (OpenID Connect Discovery, RFC 8414) fills in TOKEN_URL, " +
			"AUTHORIZE_URL and CLIENT_AUTH",
		"TOKEN_URL":     "the issuer's token endpoint",
		"AUTHORIZE_URL": "the issuer's authorization endpoint, for login through the browser",
		"LISTEN":        "address of the plain-HTTP listener for apps: host:port, or unix:/path",
		"SOCKET_MODE": "mode of the file of a unix: listener, in octal: 0600 is for this user alone, 0660 for the file's " +
			"group too",
		"HOST":    "serve this upstream only for that Host name (without a port: any port matches)",
		"PREFIX":  "serve this upstream only under that path prefix, which is removed",
		"ACCOUNT": "use the account of the upstream of that name instead of an own one",
		"CLIENT_AUTH": "how the client authenticates to the issuer: none, body, basic, or basic_plain (id and secret " +
			"not form-encoded)",
		"TOKEN_ENCODING": "how requests to the issuer are encoded: form, json",
		"ROTATION": "whether a refresh replaces the refresh token: none, maybe (then the one before is tried, too, " +
			"before the account is given up), single_use",
		"GRANT": "how the client obtains tokens: refresh_token, or client_credentials (in its own name)",
		"SCOPE": "the scope to ask for at login (RFC 6749, section 3.3); not sent with a refresh",
		"TOKEN_PARAMS": "further parameters of token requests, form-encoded, like audience=a&resource=b; " +
			"those of the browser's request belong in the query of AUTHORIZE_URL",
		"TOKEN_HEADERS": "further header fields of token requests, like X-Tenant: a, X-Api-Key: b; values are " +
			"percent-decoded",
		"REFRESH_TOKEN_LIFETIME": "how long a refresh token lives, where the issuer does not say: 336h is 14 days",
		"REFUSED_STATUS": "answers of the API that mean, besides 401, that it refuses the token: the request is sent once " +
			"more with another one; like 403,419",
		"TIMEOUT": "how long the upstream may take to send response headers",
		"REWRITE_LOCATION": "in which answers a Location at the API's own origin is made to point to this listener: " +
			"redirects, all (201, 202 and 204 too), never",
		"COOKIES": "whether cookies go between apps and the API. drop: apps' cookies are not sent to the API, and the " +
			"API's cookies are not set on localhost. pass: both go through",
		"CA_FILE": "PEM bundle trusted for this upstream and its issuer, besides the system's",

		// Variables of the whole program.
		"UPSTREAMS": "names for several upstreams, like park,shop; each then has variables of its own, like " +
			"TICKETPROXY_PARK_PROVIDER",
		"STATE": "where the tokens live: file:DIR, kubernetes:NAMESPACE/NAME, a Secret that replicas share " +
			"(kubernetes:NAME is in the pod's namespace), postgres://USER@HOST/DATABASE, a table that replicas share, or " +
			"memory: (only for what does not rotate)",
		"ROLE": "refresher, or reader: it uses the access tokens that refreshers put beside the state, and neither has " +
			"nor spends a refresh token",
		"STATE_KEY_FILE": "an age identity file: tokens in the state are encrypted to its first identity, and read with " +
			"any; a change is taken up while running",
		"STATE_RECIPIENT": "an age recipient (age1…) to which login encrypts, where there is no STATE_KEY_FILE: it can " +
			"write to the state of a running instance that has the identity, and not read its tokens",
		"TOKEN_LISTEN": "address of the listener that hands out access tokens to apps that call an API themselves: " +
			"host:port, unix:/path, or off",
		"CALLERS_FILE": "a file in YAML that says who may call, how they prove it, and what they may do; a change is " +
			"taken up while running",
		"ADMIN_LISTEN": "address of the listener for health, metrics and status: host:port, or off",
		"ADMIN_QUIT":   "whether POST /quit at the admin listener, and with it the verb shutdown, may stop the program",
		"ALLOWED_HOSTS": "further Host names, each with an optional port, that the listeners answer to; separated by " +
			"commas",
		"ALLOWED_ORIGINS": "web origins that may call the listeners, like https://app.example.com; separated by commas",
		"ALLOW_UNAUTHENTICATED": "whether listeners may be off loopback without CALLERS_FILE: everyone who reaches them " +
			"uses the account",
		"TLS_CERT_FILE": "PEM file with the certificate of the listeners for apps and TOKEN_LISTEN that are off loopback, " +
			"which then speak TLS; read again when it changes",
		"TLS_KEY_FILE": "PEM file with the private key of TLS_CERT_FILE",
		"TLS_CLIENT_CA_FILE": "PEM file with the authorities of clients' certificates, by which callers may prove " +
			"themselves",
		"AUDIT_LOG": "where to write a line of JSON for each request and each token that is handed out: off, stdout, " +
			"stderr, or file:PATH",
		"AUDIT_REQUIRED": "whether a request that AUDIT_LOG cannot record is refused",
		"LOG_LEVEL":      "the least important level that is logged: debug, info, warn, error",
		"LOG_FORMAT":     "json or console",
		"DRAIN_DELAY":    "after SIGTERM: how long to stay open while not ready",
		"DRAIN_TIMEOUT": "after SIGTERM: how long to wait for requests in flight; " +
			"a token request may take what is left of it, and at least 5s",
	}
}

// needs returns the hint for a missing required variable by its name without the prefix.
// Variables with choices need no entry.
func needs() map[string]string {
	return map[string]string{
		"CLIENT_ID":    "set it to the client's identifier, as the provider shows it",
		"UPSTREAM_URL": "set it to the API's origin, like https://api.example.com",
		"TOKEN_URL": "set it to the issuer's token endpoint, like https://issuer.example.com/token, or set ISSUER_URL " +
			"in its place",
	}
}

// providers names all dialects, the generic one last.
func providers() string {
	var names []string
	for _, d := range dialect.All() {
		names = append(names, d.Name)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + ", or " + names[last]
}
