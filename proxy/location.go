package proxy

import (
	"net/http"
	"net/url"
	"strings"
)

// A LocationPolicy says in which answers a Location that points to the
// upstream's own origin is made to point to us, so that the app stays with us
// when it follows. A Location of another origin is never changed, and the
// token never goes there.
type LocationPolicy string

const (
	LocationRedirects LocationPolicy = "redirects" // of 3xx; Ticketpark's PHP client expects the API's own in 201
	LocationAll       LocationPolicy = "all"       // of 201, 202 and 204 too
	LocationNever     LocationPolicy = "never"
)

// locate rewrites Location and Content-Location of an answer as the policy
// says. The origin that the app used is plain HTTP at its own Host.
func (u *Upstream) locate(res *http.Response, host string) {
	redirect := res.StatusCode/100 == 3
	created := res.StatusCode == http.StatusCreated || res.StatusCode == http.StatusAccepted || res.StatusCode == http.StatusNoContent
	if u.Locations == "" || u.Locations == LocationNever || !redirect && !(created && u.Locations == LocationAll) {
		return
	}
	for _, name := range []string{"Location", "Content-Location"} {
		if values := res.Header[name]; len(values) == 1 {
			values[0] = u.relocate(values[0], host)
		}
	}
}

// relocate returns the location at which the app finds, through us, what the
// upstream calls by this one.
func (u *Upstream) relocate(location, host string) string {
	target, err := url.Parse(location)
	if err != nil || target.User != nil {
		return location
	}
	rest := location
	switch {
	case target.Host == "" && strings.HasPrefix(location, "/"): // on the same origin
	case target.Host != "" && (target.Scheme == "" || target.Scheme == u.URL.Scheme) && sameHost(target, u.URL):
		_, rest, _ = strings.Cut(location, "//")
		if slash := strings.IndexAny(rest, "/?#"); slash >= 0 {
			rest = rest[slash:]
		} else {
			rest = ""
		}
	default:
		return location
	}
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	base := strings.TrimSuffix(u.URL.EscapedPath(), "/")
	below, ok := strings.CutPrefix(rest, base)
	if !ok || base != "" && below != "" && !strings.ContainsAny(below[:1], "/?#") {
		return location // outside of what we serve
	}
	if u.hasPrefix() {
		below = u.Prefix + below
	}
	if target.Host == "" {
		return below
	}
	return "http://" + host + below
}

// sameHost reports whether two URLs name one origin's host and port.
func sameHost(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		if p := u.Port(); p != "" {
			return p
		}
		if b.Scheme == "http" {
			return "80"
		}
		return "443"
	}
	return strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}
