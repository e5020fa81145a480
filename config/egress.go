package config

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ticketproxy/secret"
)

// Egress is the egress proxies that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name. A value may
// hold a password.
type Egress struct {
	HTTPSProxy secret.String
	HTTPProxy  secret.String
	NoProxy    string
}

// egress reads and checks the variables for egress proxies. Mistakes do not show their
// values.
func (p *parser) egress(vars []string) Egress {
	return Egress{
		HTTPSProxy: secret.New(p.proxy(vars, "HTTPS_PROXY")),
		HTTPProxy:  secret.New(p.proxy(vars, "HTTP_PROXY")),
		NoProxy:    cmp.Or(lookup(vars, "NO_PROXY"), lookup(vars, "no_proxy")),
	}
}

// proxy returns the value of a variable, whose name may also be in lower case.
func (p *parser) proxy(vars []string, name string) string {
	for _, spelled := range []string{name, strings.ToLower(name)} {
		value := lookup(vars, spelled)
		if value == "" {
			continue
		}
		if !isProxy(value) {
			p.report.add(spelled, "is not the address of a proxy",
				"write http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT with special characters percent-encoded; "+
					"https, socks5 and socks5h are known, too")
		}
		return value
	}
	return ""
}

// lookup returns the value of the first variable of that name.
func lookup(vars []string, name string) string {
	for _, line := range vars {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			return value
		}
	}
	return ""
}

// isProxy reports whether a text is the address of a proxy. The default scheme is http.
func isProxy(text string) bool {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	if u.Port() != "" {
		if port, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
			return false
		}
	}
	return u.Hostname() != "" && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme)
}
