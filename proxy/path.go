package proxy

import "strings"

// leaves reports whether a path has a dot segment, in any encoding that a
// server might undo, or a fragment, at which some end a segment: where a prefix
// or a base path confines an app, it could leave it by one.
func leaves(path string) bool {
	if strings.Contains(path, "#") {
		return true
	}
	if !strings.Contains(path, ".") && !strings.Contains(path, "%") {
		return false
	}
	for range 3 { // encoded twice is undone by some
		for segment := range strings.FieldsFuncSeq(folded(path), func(r rune) bool { return r == '/' || r == '\\' }) {
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
	return true // encoded more often than anything honest is
}

// folded undoes what some servers take for a dot or a slash: longer forms than
// UTF-8 has, and those of full width.
func folded(path string) string {
	if strings.IndexByte(path, 0xc0) < 0 && strings.IndexByte(path, 0xe0) < 0 && strings.IndexByte(path, 0xef) < 0 {
		return path
	}
	return strings.NewReplacer(
		"\xc0\xae", ".", "\xe0\x80\xae", ".", "\uff0e", ".",
		"\xc0\xaf", "/", "\xe0\x80\xaf", "/", "\uff0f", "/").Replace(path)
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
