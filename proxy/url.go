package proxy

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
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
