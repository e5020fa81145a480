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
		for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
			name, _, _ := strings.Cut(segment, ";") // a path parameter, to some servers
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
