package inbound

import (
	"bytes"
	"strconv"
	"strings"
)

// A framing follows the requests of a connection through its bytes. It breaks a request
// that has both Content-Length and Transfer-Encoding, with which a request can be hidden
// from a server that reads the other one. It also breaks one with Transfer-Encoding in
// HTTP/1.0, which does not know it (RFC 9112, section 6.1). The server would silently drop
// one of the two fields, and a body with it. It refuses a header line without a colon with
// 400, and closes the connection.
//
// It knows no more of HTTP than it takes to find the next header. Where it is
// in doubt it stops looking, and the server goes on as it does without it. The
// zero framing is at the beginning of a connection.
type framing struct {
	part      part
	line      []byte // what has come of one that is not whole
	begun     bool   // the request line has come
	length    bool   // and Content-Length; of HTTP/1.0, which has nothing else
	chunked   bool   // and Transfer-Encoding
	upgrade   bool   // and Upgrade
	size      int64  // that it says; negative when that is in doubt
	left      int64  // of the body or the chunk
	ambiguous bool   // a request was broken
}

// A part is what the next byte belongs to.
type part int

const (
	head part = iota
	body
	chunkSize
	chunk
	chunkEnd
	trailer
	unknown
)

const longLine = 128 // as much of a line as is looked at

// follow looks at the next bytes of the connection, and changes at most one.
func (f *framing) follow(p []byte) {
	for len(p) > 0 && f.part != unknown {
		if f.left > 0 {
			n := min(f.left, int64(len(p)))
			p = p[n:]
			if f.left -= n; f.left == 0 {
				f.pass()
			}
			continue
		}
		piece, rest, whole := bytes.Cut(p, []byte("\n"))
		line, before := piece, len(f.line)
		if before > 0 || !whole {
			f.line = append(f.line, piece[:min(len(piece), longLine-before)]...)
			line = f.line
		}
		if f.part == head && f.begun {
			f.name(line, before, piece)
		}
		if p = rest; whole {
			f.end(bytes.TrimSuffix(line, []byte("\r")))
			f.line = f.line[:0]
		}
	}
}

// within reports whether a request has come in part.
func (f *framing) within() bool {
	return f.part != unknown && !f.between()
}

// withinHeader reports whether a request's header has come in part.
func (f *framing) withinHeader() bool { return f.part == head && !f.between() }

// between reports whether it is certain that no request has come in part.
func (f *framing) between() bool { return f.part == head && !f.begun && len(f.line) == 0 }

// pass goes on after the last byte of a body or a chunk.
func (f *framing) pass() {
	if f.part == chunk {
		f.part = chunkEnd
		return
	}
	*f = framing{line: f.line[:0]}
}

// name reads a header's name, and breaks the colon of the second of the two
// framings. The line ends with the piece, of which it had some bytes before.
func (f *framing) name(line []byte, before int, piece []byte) {
	colon := bytes.IndexByte(line, ':')
	if colon < before {
		return // none yet, or it was looked at
	}
	switch name := line[:colon]; {
	case is(name, "Content-Length"):
		f.length = true
	case is(name, "Transfer-Encoding"):
		f.chunked = true
	case is(name, "Upgrade"):
		f.upgrade = true
	}
	if f.length && f.chunked {
		piece[colon-before] = ' '
		f.part, f.ambiguous = unknown, true
	}
}

// end goes on after a line, given without its end.
func (f *framing) end(line []byte) {
	empty := len(line) == 0
	switch f.part {
	case head:
		switch {
		case !f.begun:
			f.begun = !empty // the server lets a few pass before a request
			f.length = bytes.HasSuffix(line, []byte(" HTTP/1.0"))
		case !empty:
			f.value(line)
		case f.upgrade: // what follows may be no HTTP
			f.part = unknown
		case f.chunked:
			f.part = chunkSize
		case f.size < 0:
			f.part = unknown
		case f.size > 0:
			f.part, f.left = body, f.size
		default:
			f.pass()
		}
	case chunkSize:
		size, _, _ := bytes.Cut(line, []byte(";"))
		f.part, f.left = chunk, number(size, 16)
		switch {
		case f.left < 0:
			f.part = unknown
		case f.left == 0:
			f.part = trailer
		}
	case chunkEnd:
		f.part = chunkSize
		if !empty {
			f.part = unknown
		}
	case trailer:
		if empty {
			f.part = body
			f.pass()
		}
	}
}

// value notes the length that a header's line says.
func (f *framing) value(line []byte) {
	if name, value, ok := bytes.Cut(line, []byte(":")); ok && is(name, "Content-Length") {
		f.size = number(value, 10)
	}
}

// number reads a number, and is negative for any other text.
func number(text []byte, base int) int64 {
	n, err := strconv.ParseUint(string(bytes.Trim(text, " \t")), base, 63)
	if err != nil {
		return -1
	}
	return int64(n)
}

func is(name []byte, want string) bool {
	return len(name) == len(want) && strings.EqualFold(string(name), want)
}
