package proxy

import (
	"net/http"
	"strings"

	"ticketproxy/proxy/inbound"
)

// route returns the upstream that is to serve a request: a Host of its own
// goes before any Host, and the longest prefix before shorter ones. It is nil
// when none matches. The path is compared as it was sent.
func route(upstreams []*Upstream, r *http.Request) *Upstream {
	path := pathOf(r)
	var best *Upstream
	for _, u := range upstreams {
		if u.Host != "" && !inbound.HostMatches(u.Host, r.Host) || !u.matches(path) {
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
