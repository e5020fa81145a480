package config

import (
	"net/url"
	"strings"
)

// parseURL parses the URL of an upstream or an issuer: absolute, https (or
// http to this machine itself), and without credentials, query and fragment.
// Nothing of it but its host is ever shown.
func parseURL(text string) (any, error) {
	const cure = "write it like https://api.example.com"
	u, err := url.Parse(text)
	if err != nil {
		return nil, &flaw{"is not a URL", cure}
	}
	if u.User != nil {
		return nil, &flaw{"must not hold credentials", "remove what stands before the @; credentials have variables of their own"}
	}
	host, port, ok := splitHost(u.Host)
	switch {
	case !ok || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, &flaw{"is not an absolute https URL", cure}
	case u.Scheme == "http" && !isLoopback(host):
		return nil, &flaw{"uses http to " + quote(host) + ", but tokens may go unencrypted to loopback hosts only", "write https://"}
	case strings.ContainsAny(text, "?#"):
		return nil, &flaw{"must not have a query or a fragment", "remove what stands after the ? or #"}
	}
	u.Host = host
	if port != "" {
		u.Host += ":" + port
	}
	return *u, nil
}

// urlOr returns the URL that the user said, or else the dialect's; nil when
// there is neither or it is wrong.
func (p *parser) urlOr(variable string, said *url.URL, dialects string) *url.URL {
	if p.report.blames(variable) {
		return nil
	}
	if said != nil || dialects == "" {
		return said
	}
	u, err := parseURL(dialects)
	if err != nil {
		p.report.add(variable, "the provider's default "+err.Error(), "say the URL, and report this as a bug")
		return nil
	}
	parsed := u.(url.URL)
	return &parsed
}

// base drops the trailing slash of UPSTREAM_URL's path, which must be of the
// kind that paths can be joined to.
func (p *parser) base(variable string, u *url.URL) {
	if u == nil || u.Path == "" {
		return
	}
	path, err := parsePath(u.EscapedPath())
	if err != nil {
		p.report.add(variable, "its path "+err.Error(), "write it like https://api.example.com/v2")
		return
	}
	u.Path, u.RawPath = strings.TrimSuffix(path, "/"), ""
}
