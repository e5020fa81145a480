package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"ticketproxy/config/callers"
)

// How paths are matched
//
// A rule's paths are matched with the path that the API sees, decoded once, and in the case in
// which it was sent. Segments are what stands between slashes. In a rule, * alone is one segment
// that is not empty, and * within a segment is any characters, also none. /** at the end is any
// rest: /events/** matches /events, /events/ and all below it, as in Spring and in Ant. Otherwise
// a slash at the end counts: /events does not match /events/.
//
// An encoded slash, %2F, does not end a segment, since not every server takes it for a slash;
// and since some do, nothing matches it but **, which matches in both readings.
//
// Where servers read a path in more than one way, a rule could be matched with another path than
// the one that the API acts on. Such a path is odd. No rule with paths matches it, whatever
// stands in the rule. A rule without paths, or with the path /**, matches it, since it matches
// all that the API could take it for. Odd are:
//
//   - a segment that is . or .., also encoded, with blanks, or longer, like ...
//   - an empty segment, //, also when a slash is encoded: many servers merge slashes
//   - ; which begins parameters that Java's servers remove
//   - \ which IIS and .NET take for a slash
//   - ? and #, encoded too: servers that decode before they parse end the path there
//   - a control character, NUL above all, at which some servers end the path
//   - what is encoded twice: some servers decode twice
//   - a % that begins no encoding, like %u002e, which IIS decodes
//   - what is not UTF-8, like the overlong forms %c0%ae and %c0%af of . and /
//   - blanks and invisible characters of Unicode, which some servers remove
//   - characters of Unicode that normalization or a code page turns into one of these, like the
//     fullwidth ．and ／
//   - a path that does not begin with a slash, like the * of OPTIONS
//
// Upper and lower case need no such care. A server that ignores case finds nothing else for a
// path that a rule matches exactly.

// encodedSlash stands for %2F in the text of a path. No text has a NUL otherwise.
const encodedSlash = '\x00'

// A requestPath is the path of a request, decoded once.
type requestPath struct {
	text string
	odd  string // what is odd about it, in words; "" when it is not
}

// readPath decodes a path. Plain paths cost no allocation.
func readPath(sent string, scratch []byte) requestPath {
	if !strings.HasPrefix(sent, "/") {
		return requestPath{odd: "does not begin with a slash"}
	}
	p := requestPath{text: sent}
	if !isPlain(sent) {
		decoded, odd := decode(sent, scratch)
		if odd != "" {
			return requestPath{odd: odd}
		}
		p.text = string(decoded)
		if p.odd = oddCharacter(p.text); p.odd != "" {
			return p
		}
	}
	p.odd = oddSegment(p.text)
	return p
}

// isPlain reports whether a path has only characters that mean themselves to every server.
func isPlain(sent string) bool {
	for i := range len(sent) {
		c := sent[i]
		if c <= ' ' || c >= 0x7f || c == '%' || c == ';' || c == '\\' || c == '?' || c == '#' {
			return false
		}
	}
	return true
}

// decode undoes percent encodings once.
func decode(sent string, into []byte) (decoded []byte, odd string) {
	for i := 0; i < len(sent); i++ {
		c := sent[i]
		if c == encodedSlash {
			return nil, "has a control character"
		}
		if c == '%' {
			high, low := -1, -1
			if i+2 < len(sent) {
				high, low = unhex(sent[i+1]), unhex(sent[i+2])
			}
			if high < 0 || low < 0 {
				return nil, "has a % that begins no percent encoding"
			}
			i += 2
			switch c = byte(high<<4 | low); c {
			case 0:
				return nil, "has a control character"
			case '/':
				c = encodedSlash
			}
		}
		into = append(into, c)
	}
	return into, ""
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// oddCharacter says what is odd about the characters of a decoded path.
func oddCharacter(text string) string {
	if !utf8.ValidString(text) {
		return "is not UTF-8"
	}
	for i, c := range text {
		odd := ""
		switch {
		case c == encodedSlash:
		case c < ' ' || c >= 0x7f && c < 0xa0:
			odd = "has a control character"
		case c == ';':
			odd = "has a ;, after which some servers read parameters"
		case c == '\\':
			odd = "has a backslash, which some servers take for a slash"
		case c == '?' || c == '#':
			odd = "has a ? or #, at which some servers end the path"
		case c == '%':
			odd = oddPercent(text[i+1:])
		case c >= 0x80:
			odd = oddRune(c)
		}
		if odd != "" {
			return odd
		}
	}
	return ""
}

// oddPercent says what is odd about a % that is left after decoding. rest is what follows it.
func oddPercent(rest string) string {
	switch {
	case len(rest) >= 2 && unhex(rest[0]) >= 0 && unhex(rest[1]) >= 0:
		return "is encoded twice"
	case rest != "" && rest[0]|0x20 == 'u':
		return "has a % that begins no percent encoding"
	}
	return ""
}

// oddRune says what is odd about a character that is not ASCII.
func oddRune(c rune) string {
	switch {
	case unicode.IsSpace(c) || unicode.Is(unicode.Cf, c):
		return "has a blank or an invisible character, which some servers remove"
	case strings.ContainsRune(lookalikes, c):
		return "has a character that some servers take for one of / \\ . ; % ? #"
	}
	return ""
}

// lookalikes are the characters that compatibility normalization (NFKC, Unicode 15) or the best
// fit of a code page of Windows turns into one of / \ . ; % ? #, or into a text with one of the
// first two. Those that become a letter and a full stop, like ⒈, are left out: no segment is
// made of such alone.
const lookalikes = "\u037e\u2024\u2025\u2026\u2044\u2047\u2048\u2049\u2100\u2101\u2105\u2106\u2215\u2216" +
	"\ufe14\ufe16\ufe19\ufe30\ufe52\ufe54\ufe56\ufe5f\ufe68\ufe6a\uff03\uff05\uff0e\uff0f\uff1b\uff1f\uff3c"

// oddSegment says what is odd about the segments of a decoded path, where an encoded slash ends
// one, too. The last segment may be empty.
func oddSegment(text string) string {
	for begin := 1; ; {
		end := begin
		dots := true
		for ; end < len(text) && text[end] != '/' && text[end] != encodedSlash; end++ {
			dots = dots && (text[end] == '.' || text[end] == ' ')
		}
		switch {
		case end == begin && end < len(text):
			return "has an empty segment, //"
		case end > begin && dots:
			return "has a dot segment"
		case end == len(text):
			return ""
		}
		begin = end + 1
	}
}

// matches reports whether a glob matches the text of a path that is not odd.
func matches(g *callers.Glob, text string) bool {
	rest := text // begins with a slash, or is empty
	for _, pattern := range g.Segments {
		if rest == "" {
			return false
		}
		segment := rest[1:]
		if end := strings.IndexByte(segment, '/'); end >= 0 {
			segment = segment[:end]
		}
		if !matchesSegment(pattern, segment) {
			return false
		}
		rest = rest[1+len(segment):]
	}
	return rest == "" || g.Rest
}

// matchesSegment matches one segment. It takes time in proportion to the product of both lengths
// at most: a * is never tried again once a later one has matched.
func matchesSegment(pattern, segment string) bool {
	if strings.IndexByte(pattern, '*') < 0 {
		return pattern == segment
	}
	if strings.IndexByte(segment, encodedSlash) >= 0 || pattern == "*" && segment == "" {
		return false
	}
	star, retry := -1, 0
	p, s := 0, 0
	for s < len(segment) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, s
			p++
		case p < len(pattern) && pattern[p] == segment[s]:
			p++
			s++
		case star >= 0:
			retry++
			p, s = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
