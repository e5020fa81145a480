package inbound

import (
	"net/http"
	"net/netip"
	"strings"
)

// splitHost returns a Host header's name, in lower case and without the brackets
// of an IPv6 address and a DNS name's final dot, and its port, "" when there is
// none; for what is no Host (RFC 9110, section 7.2) the name is "".
func splitHost(host string) (name, port string) {
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

// HostMatches reports whether a request's Host has a name of ours. If ours has a port, the Host
// must have that port, too. A Host without one has the port of its scheme: 80, or 443 over TLS.
func HostMatches(ours string, r *http.Request) bool {
	name, port := splitHost(ours)
	asked, at := splitHost(r.Host)
	if at == "" {
		at = "80"
		if r.TLS != nil {
			at = "443"
		}
	}
	return asked != "" && asked == name && (port == "" || port == at)
}

// SplitReference cuts a URI reference (RFC 3986, section 4.2) into scheme and
// authority, which may be empty, and the rest, which begins with a slash if there
// is an authority. It accepts any text, since a peer may make mistakes.
func SplitReference(reference string) (scheme, authority, rest string) {
	scheme, rest, ok := strings.Cut(reference, "//")
	if ok && scheme != "" {
		scheme, ok = strings.CutSuffix(scheme, ":")
	}
	if !ok || strings.ContainsAny(scheme, "/?#") {
		return "", "", reference
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		return scheme, rest, "/"
	}
	authority, rest = rest[:end], rest[end:]
	if rest[0] != '/' {
		rest = "/" + rest
	}
	return scheme, authority, rest
}
