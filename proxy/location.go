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
// says. The origin that the app used is plain HTTP at its own Host, which may be
// "" on a Unix socket.
func (u *Upstream) locate(res *http.Response, host string) {
	redirect := res.StatusCode/100 == 3
	created := res.StatusCode == http.StatusCreated || res.StatusCode == http.StatusAccepted || res.StatusCode == http.StatusNoContent
	if u.Locations == "" || u.Locations == LocationNever || !redirect && !(created && u.Locations == LocationAll) {
		return
	}
	for _, name := range []string{"Location", "Content-Location"} {
		for i, location := range res.Header[name] {
			res.Header[name][i] = u.relocate(location, host, res.Request.URL.EscapedPath())
		}
	}
}

// relocate returns the location at which the app finds, through us, what the
// upstream calls by this one in an answer to a request for the path asked. What
// does not lie below the base path is not found here: it is given as the
// upstream's, and so is the base path without its slash to whom it was asked for
// with one, which is the same here.
func (u *Upstream) relocate(location, host, asked string) string {
	scheme, authority, rest := split(location)
	upstreams := location
	switch {
	case authority != "":
		if !u.at(scheme, authority) {
			return location
		}
	case !strings.HasPrefix(location, "/") || strings.HasPrefix(location, "//"):
		return location
	default:
		upstreams = u.URL.Scheme + "://" + u.URL.Host + location
	}
	base := strings.TrimSuffix(u.URL.EscapedPath(), "/")
	below, ok := strings.CutPrefix(rest, base)
	switch {
	case !ok:
		return upstreams
	case strings.HasPrefix(below, "/"):
	case below == "" || below[0] == '?' || below[0] == '#':
		if base != "" && asked == base+"/" {
			return upstreams
		}
		below = "/" + below
	default:
		return upstreams
	}
	if u.hasPrefix() {
		below = u.Prefix + below
	}
	switch another := strings.HasPrefix(below, "//"); { // it would be taken for another host
	case host != "" && (authority != "" || another):
		return "http://" + host + below
	case another:
		return upstreams
	}
	return below
}

// split cuts a URI reference into its scheme and authority, if it has these, and
// what comes after them (RFC 3986, section 4.2). It knows no wrong ones: what an
// API says is not ours to mend.
func split(reference string) (scheme, authority, rest string) {
	scheme, rest, ok := strings.Cut(reference, "//")
	if scheme != "" {
		scheme, ok = strings.CutSuffix(scheme, ":")
	}
	if !ok || strings.ContainsAny(scheme, "/?#") {
		return "", "", reference
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		return scheme, rest[:end], rest[end:]
	}
	return scheme, rest, ""
}

// at reports whether a scheme, which may be "" for the same, and an authority
// are the upstream's.
func (u *Upstream) at(scheme, authority string) bool {
	port := func(v *url.URL) string {
		if p := v.Port(); p != "" {
			return p
		}
		if u.URL.Scheme == "http" {
			return "80"
		}
		return "443"
	}
	v := &url.URL{Host: authority}
	return (scheme == "" || strings.EqualFold(scheme, u.URL.Scheme)) &&
		strings.EqualFold(v.Hostname(), u.URL.Hostname()) && port(v) == port(u.URL)
}
