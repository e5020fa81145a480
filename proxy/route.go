package proxy

import (
	"net/http"
	"net/netip"
	"strings"
)

// route returns the upstream that is to serve a request: a Host of its own
// goes before any Host, and the longest prefix before shorter ones. It is nil
// when none matches. The path is compared as it was sent.
func route(upstreams []*Upstream, r *http.Request) *Upstream {
	path := pathOf(r)
	var best *Upstream
	for _, u := range upstreams {
		if u.Host != "" && !answersTo(u.Host, r.Host) || !u.matches(path) {
			continue
		}
		if best == nil || u.moreSpecific(best) {
			best = u
		}
	}
	return best
}

func (u *Upstream) moreSpecific(v *Upstream) bool {
	if (u.Host != "") != (v.Host != "") {
		return u.Host != ""
	}
	return len(u.Prefix) > len(v.Prefix)
}

func (u *Upstream) hasPrefix() bool { return u.Prefix != "" && u.Prefix != "/" }

// matches reports whether the path is the prefix or lies below it.
func (u *Upstream) matches(path string) bool {
	if !u.hasPrefix() {
		return true
	}
	rest, ok := strings.CutPrefix(path, u.Prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// within returns the path below the prefix.
func (u *Upstream) within(path string) string {
	if !u.hasPrefix() {
		return path
	}
	if rest := strings.TrimPrefix(path, u.Prefix); rest != "" {
		return rest
	}
	return "/"
}

// pathOf returns a request's path as it was sent, where net/url would mend it.
func pathOf(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if strings.HasPrefix(path, "/") || path == "*" {
		return path
	}
	_, path, _ = strings.Cut(path, "//") // of an absolute form, after its host
	if slash := strings.Index(path, "/"); slash >= 0 {
		return path[slash:]
	}
	return "/"
}

// hostport returns a Host header's name, in lower case and without the brackets
// of an IPv6 address and a DNS name's final dot, and its port, "" when there is
// none; for what is no Host (RFC 9110, section 7.2) the name is "".
func hostport(host string) (name, port string) {
	name, colon := host, ""
	switch address, after, bracketed := strings.Cut(strings.TrimPrefix(host, "["), "]"); {
	case strings.HasPrefix(host, "["):
		if !bracketed || !strings.Contains(address, ":") {
			return "", ""
		}
		name, colon = address, after
	case strings.Count(host, ":") == 1:
		i := strings.Index(host, ":")
		name, colon = host[:i], host[i:]
	}
	port, ok := strings.CutPrefix(colon, ":")
	if colon != "" && !ok || strings.Trim(port, "0123456789") != "" {
		return "", ""
	}
	return withoutRoot(strings.ToLower(name)), port
}

// withoutRoot removes the final dot of a DNS name. An address has none, and not
// every browser takes "localhost." for loopback.
func withoutRoot(name string) string {
	short := strings.TrimSuffix(name, ".")
	if _, err := netip.ParseAddr(short); err == nil || short == "localhost" {
		return name
	}
	return short
}

// answersTo reports whether a Host header is of a name of ours, which may be
// said with a port: then it is of that port alone.
func answersTo(ours, host string) bool {
	name, port := hostport(ours)
	asked, at := hostport(host)
	if at == "" {
		at = "80"
	}
	return asked != "" && asked == name && (port == "" || port == at)
}
