package proxy

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ticketproxy/proxy/inbound"
)

// How paths, queries and locations change
//
// An upstream is reached below a prefix of ours, and may have a base path of its
// own. On the way out the prefix is removed and the base path is put in front; all
// other bytes of path and query stay as they were sent, which net/url alone would
// not do. Where a prefix or a base path confines an app, a path that could escape
// it is refused. On the way back, a Location below the base path is mapped to the
// prefix again.

func (u *forwarder) hasPrefix() bool { return u.Prefix != "" && u.Prefix != "/" }

// matches reports whether the path is the prefix or lies below it.
func (u *forwarder) matches(path string) bool {
	if !u.hasPrefix() {
		return true
	}
	rest, ok := strings.CutPrefix(path, u.Prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// within returns the path below the prefix.
func (u *forwarder) within(path string) string {
	if !u.hasPrefix() {
		return path
	}
	if rest := strings.TrimPrefix(path, u.Prefix); rest != "" {
		return rest
	}
	return "/"
}

// pathOf returns a request's path as it was sent, where net/url would change it.
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

// confined reports whether apps reach a part of the API's paths.
func (u *forwarder) confined() bool { return u.hasPrefix() || strings.Trim(u.URL.Path, "/") != "" }

// below puts the upstream's base path in front of a path.
func (u *forwarder) below(path string) string {
	return strings.TrimSuffix(u.URL.EscapedPath(), "/") + path
}

// setPath sets a path to the bytes that go out.
func setPath(u *url.URL, sent string) {
	path, err := url.PathUnescape(sent)
	if err != nil {
		path = sent
	}
	u.Path, u.RawPath = path, sent
	if u.EscapedPath() == sent {
		return
	}
	u.Opaque = sent
	if strings.HasPrefix(sent, "//") { // would be taken for a host
		u.Opaque = "//" + u.Host + sent
	}
}

// dropParams returns a raw query without the parameters of these names. The rest
// stays byte for byte.
func dropParams(query string, names []string) string {
	if len(names) == 0 || query == "" {
		return query
	}
	var kept []string
	dropped := false
	for part := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(part, "=")
		if name, err := url.QueryUnescape(key); err == nil && slices.Contains(names, name) {
			dropped = true
			continue
		}
		kept = append(kept, part)
	}
	if !dropped {
		return query
	}
	return strings.Join(kept, "&")
}

// escapesBase reports whether a path has a dot segment, in any encoding that a
// server might undo, or a fragment, at which some end a segment: where a prefix
// or a base path confines an app, it could leave it by one.
func escapesBase(path string) bool {
	if strings.Contains(path, "#") {
		return true
	}
	if !strings.Contains(path, ".") && !strings.Contains(path, "%") {
		return false
	}
	// Some servers take longer forms than UTF-8 has, and those of full width, for a dot or a
	// slash.
	plain := strings.NewReplacer(
		"\xc0\xae", ".", "\xe0\x80\xae", ".", "\uff0e", ".",
		"\xc0\xaf", "/", "\xe0\x80\xaf", "/", "\uff0f", "/",
	)
	for range 3 { // encoded twice is undone by some
		for segment := range strings.FieldsFuncSeq(plain.Replace(path), func(r rune) bool { return r == '/' || r == '\\' }) {
			name, _, _ := strings.Cut(segment, ";") // a path parameter, to some servers
			name = strings.Map(printed, name)
			if name == "." || name == ".." {
				return true
			}
		}
		next := decoded(path)
		if next == path {
			return false
		}
		path = next
	}
	return true // encoded more often than in any real path
}

// printed drops what some servers skip or end a name at.
func printed(r rune) rune {
	if r <= ' ' || r == 0x7f {
		return -1
	}
	return r
}

// decoded undoes the percent encodings of one level, as far as they are valid.
func decoded(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			if high, low := unhex(path[i+1]), unhex(path[i+2]); high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

func unhex(c byte) int { return strings.IndexByte("0123456789abcdef", c|0x20) }

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
