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

// rewriteLocations rewrites Location and Content-Location of an answer as the policy
// says. The app called us by a scheme and a Host, which may be "" on a Unix socket.
func (u *forwarder) rewriteLocations(res *http.Response, scheme, host string) {
	redirect := res.StatusCode/100 == 3
	created := res.StatusCode == http.StatusCreated || res.StatusCode == http.StatusAccepted ||
		res.StatusCode == http.StatusNoContent
	if u.Locations == "" || u.Locations == LocationNever || !redirect && !(created && u.Locations == LocationAll) {
		return
	}
	own := ""
	if host != "" {
		own = scheme + "://" + host
	}
	asked := res.Request.URL.EscapedPath()
	if !strings.HasPrefix(asked, "/") {
		asked = "/"
	}
	for _, name := range []string{"Location", "Content-Location"} {
		for i, location := range res.Header[name] {
			res.Header[name][i] = u.relocate(location, own, asked)
		}
	}
}

// relocate returns the location at which the app finds, through us, what the
// upstream calls by this one in an answer to a request for the path asked. It
// parses the location, resolves it against the path asked, and maps it to us.
func (u *forwarder) relocate(location, own, asked string) string {
	ref, ok := u.parseLocation(location)
	if !ok {
		return location
	}
	if ref, ok = u.resolve(ref, asked); !ok {
		return location
	}
	return u.mapToUs(ref, location, own, asked)
}

// A reference is a location that may be the upstream's own.
type reference struct {
	absolute bool   // it names the upstream's origin
	path     string // as it was sent
	tail     string // query and fragment
}

// parseLocation reads a location. It is false for one of another origin, which
// stays as it is.
func (u *forwarder) parseLocation(location string) (reference, bool) {
	scheme, authority, rest := inbound.SplitReference(location)
	path, tail := cutPath(rest)
	ref := reference{absolute: authority != "", path: path, tail: tail}
	if ref.absolute {
		return ref, u.hasOrigin(scheme, authority)
	}
	return ref, scheme == "" && !strings.HasPrefix(location, "//")
}

// resolve makes the path of a reference absolute. It is false for a location that
// stays as it is, since it leads to the same place from where the app is.
func (u *forwarder) resolve(ref reference, asked string) (reference, bool) {
	if !ref.absolute && !strings.HasPrefix(ref.path, "/") {
		if ref.path == "" || strings.Contains(ref.path, ":") || !u.confined() || !escapesBase(ref.path) {
			return ref, false // of another scheme, or relative
		}
		ref.path = asked[:strings.LastIndex(asked, "/")+1] + ref.path
	}
	if u.confined() && escapesBase(ref.path) { // as the app would do if it called the upstream directly
		ref.path = removeDotSegments(ref.path)
	}
	return ref, true
}

// mapToUs replaces the base path by the prefix, and the upstream's origin by ours.
// What is not below the base path is not found here, so it stays the upstream's.
// So does the base path without its final slash for an app that asked for it with
// one: here, both are the same.
func (u *forwarder) mapToUs(ref reference, location, own, asked string) string {
	upstreams := location
	if !ref.absolute {
		upstreams = u.URL.Scheme + "://" + u.URL.Host + ref.path + ref.tail
	}
	base := strings.TrimSuffix(u.URL.EscapedPath(), "/")
	below, ok := strings.CutPrefix(ref.path, base)
	switch {
	case !ok, u.confined() && escapesBase(ref.path):
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
	case below+ref.tail == location: // as it came
	case own != "" && (ref.absolute || looksLikeAuthority(below)):
		return own + below + ref.tail
	case looksLikeAuthority(below):
		return upstreams
	}
	return below + ref.tail
}

// looksLikeAuthority reports whether a path alone would be taken for a host and a
// path, by browsers at least (URL standard, section 4.4), which ignore a tab.
func looksLikeAuthority(path string) bool {
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

// removeDotSegments resolves a path's dot segments (RFC 3986, section 5.2.4), also those
// that are encoded (URL standard, section 4.4).
func removeDotSegments(path string) string {
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

// hasOrigin reports whether a scheme, which may be "" for the same, and an authority
// are the upstream's.
func (u *forwarder) hasOrigin(scheme, authority string) bool {
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
