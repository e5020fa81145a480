package proxy

import (
	"net/http"
	"net/url"
	"strings"

	"ticketproxy/proxy/inbound"
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
	asked := res.Request.URL.EscapedPath()
	if !strings.HasPrefix(asked, "/") {
		asked = "/"
	}
	for _, name := range []string{"Location", "Content-Location"} {
		for i, location := range res.Header[name] {
			res.Header[name][i] = u.relocate(location, host, asked)
		}
	}
}

// relocate returns the location at which the app finds, through us, what the
// upstream calls by this one in an answer to a request for the path asked. What
// does not lie below the base path is not found here: it is given as the
// upstream's, and so is the base path without its slash to whom it was asked for
// with one, which is the same here.
func (u *Upstream) relocate(location, host, asked string) string {
	scheme, authority, rest := inbound.SplitReference(location)
	path, tail := cutPath(rest)
	switch {
	case authority != "":
		if !u.at(scheme, authority) {
			return location
		}
	case scheme != "" || strings.HasPrefix(location, "//"):
		return location // of nobody
	case !strings.HasPrefix(path, "/"):
		if path == "" || strings.Contains(path, ":") || !u.confined() || !leaves(path) {
			return location // of another scheme, or relative: it leads there from where the app is, too
		}
		path = asked[:strings.LastIndex(asked, "/")+1] + path
	}
	if u.confined() && leaves(path) { // as the app would see to itself, with the upstream
		path = cleaned(path)
	}
	upstreams := location
	if authority == "" {
		upstreams = u.URL.Scheme + "://" + u.URL.Host + path + tail
	}
	base := strings.TrimSuffix(u.URL.EscapedPath(), "/")
	below, ok := strings.CutPrefix(path, base)
	switch {
	case !ok, u.confined() && leaves(path):
		return upstreams
	case strings.HasPrefix(below, "/"):
	case below != "", base != "" && asked == base+"/":
		return upstreams
	default:
		below = "/"
	}
	if u.hasPrefix() {
		below = u.Prefix + below
	}
	switch {
	case below+tail == location: // as it came
	case authority != "" && host != "", host != "" && another(below):
		return "http://" + host + below + tail
	case another(below):
		return upstreams
	}
	return below + tail
}

// another reports whether a path alone would be taken for one of another host,
// by browsers at least (URL standard, section 4.4), which read past a tab.
func another(path string) bool {
	path = strings.ReplaceAll(path, "\t", "")
	return len(path) > 1 && (path[1] == '/' || path[1] == '\\')
}

// cutPath cuts a reference without an authority after its path.
func cutPath(reference string) (path, tail string) {
	if end := strings.IndexAny(reference, "?#"); end >= 0 {
		return reference[:end], reference[end:]
	}
	return reference, ""
}

// cleaned resolves a path's dot segments (RFC 3986, section 5.2.4), also those
// that are encoded (URL standard, section 4.4).
func cleaned(path string) string {
	segments := strings.Split(path, "/")
	kept := segments[:1]
	for i, segment := range segments[1:] {
		dots := strings.ReplaceAll(strings.ToLower(segment), "%2e", ".")
		if dots == ".." && len(kept) > 1 {
			kept = kept[:len(kept)-1]
		}
		if dots != "." && dots != ".." {
			kept = append(kept, segment)
		} else if i == len(segments)-2 {
			kept = append(kept, "")
		}
	}
	return strings.Join(kept, "/")
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
