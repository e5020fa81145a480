package config

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// egress checks the proxies on the way out. Their values may hold a password, and
// are not shown.
func (p *parser) egress(vars []string) {
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY"} {
		for _, spelled := range []string{name, strings.ToLower(name)} {
			i := slices.IndexFunc(vars, func(line string) bool { return strings.HasPrefix(line, spelled+"=") })
			if i < 0 || vars[i] == spelled+"=" {
				continue
			}
			if !isProxy(strings.TrimPrefix(vars[i], spelled+"=")) {
				p.report.add(spelled, "is not the address of a proxy",
					"write http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT with special characters percent-encoded; https, socks5 and socks5h are known, too")
			}
			break
		}
	}
}

// isProxy reports whether a text is the address of a proxy. One without a scheme is
// of HTTP.
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
