package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// How the header of an answer is read
//
// Nearly all answers have a header that is in the read buffer to its end, and of a shape that
// parse knows: one string is made of it, and the fields are parts of that. Any other is read
// line by line into memory of its own, within a bound, and net/http's ReadResponse parses it.
// Both must say the same; FuzzHeader holds this.

// errMalformed is an answer that is not HTTP. It quotes nothing.
var errMalformed = errors.New("the upstream's answer is not HTTP")

const protocol = "HTTP/" // with which an answer begins

// receive reads up to the end of the answer's header, and passes on the interim answers before
// it (1xx; RFC 9110, section 15.2).
func (x *exchange) receive() error {
	for {
		if err := x.firstByte(); err != nil {
			return x.failure(err)
		}
		if err := x.readHeader(); err != nil {
			return x.failure(err)
		}
		status := x.res.StatusCode
		if status/100 != 1 || status == http.StatusSwitchingProtocols {
			break
		}
		if err := x.interim(); err != nil {
			return err
		}
	}
	x.memory.settle()
	x.headerRead()
	x.beginBody()
	return nil
}

// interim passes on an interim answer.
func (x *exchange) interim() error {
	if x.res.StatusCode == http.StatusContinue {
		x.sendWaiting()
	} else {
		x.hear(false)
	}
	if t := httptrace.ContextClientTrace(x.ctx); t != nil && t.Got1xxResponse != nil {
		return t.Got1xxResponse(x.res.StatusCode, textproto.MIMEHeader(x.res.Header))
	}
	return nil
}

// readHeader reads the header of one answer into x.res.
func (x *exchange) readHeader() error {
	r := x.conn.r
	for {
		seen, _ := r.Peek(r.Buffered())
		if begun := min(len(seen), len(protocol)); string(seen[:begun]) != protocol[:begun] {
			return errMalformed
		}
		size, lines, known := scanHeader(seen)
		if !known {
			return x.readLong()
		}
		if size > 0 {
			if err := x.memory.add(x.ctx, size, lines); err != nil {
				return err
			}
			x.res = http.Response{Request: x.req}
			if !x.parse(seen[:size], lines) {
				return x.parseLong(seen[:size:size])
			}
			r.Discard(size)
			return nil
		}
		if len(seen) == r.Size() {
			return x.readLong()
		}
		if _, err := r.Peek(len(seen) + 1); err != nil {
			return unexpected(err)
		}
	}
}

// scanHeader looks for the end of a header. It returns how many bytes and lines it has, or 0
// bytes when its end is not there; known is false when its lines do not end with CRLF.
func scanHeader(b []byte) (size, lines int, known bool) {
	for {
		n := bytes.IndexByte(b[size:], '\n')
		switch {
		case n < 0:
			return 0, lines, true
		case n == 0 || b[size+n-1] != '\r':
			return 0, lines, false
		}
		size += n + 1
		lines++
		if n == 1 {
			return size, lines, lines > 1
		}
	}
}

// readLong reads a header line by line.
func (x *exchange) readLong() error {
	var block []byte
	for begin := 0; ; {
		part, err := x.conn.r.ReadSlice('\n')
		block = append(block, part...)
		whole := !errors.Is(err, bufio.ErrBufferFull)
		lines := 0
		if whole {
			lines = 1
		}
		if err := x.memory.add(x.ctx, len(part), lines); err != nil {
			return err
		}
		if !whole {
			continue
		}
		if err != nil {
			return unexpected(err)
		}
		line := block[begin:]
		if begin == 0 && x.parseBlock(append(line[:len(line):len(line)], "\r\n"...)) != nil {
			return errMalformed
		}
		if blank := string(line) == "\n" || string(line) == "\r\n"; blank {
			break
		}
		begin = len(block)
	}
	return x.parseBlock(block)
}

// parseLong parses the header that is first in the read buffer.
func (x *exchange) parseLong(block []byte) error {
	err := x.parseBlock(block)
	x.conn.r.Discard(len(block))
	return err
}

// parseBlock parses a header by net/http.
func (x *exchange) parseBlock(block []byte) error {
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(block)), x.req)
	if err != nil {
		return errMalformed
	}
	x.res = *res
	x.res.Body = nil
	if res.StatusCode < 100 {
		return errMalformed
	}
	return nil
}

// unexpected returns the error of an answer that ended within its header.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parse parses a header of a common shape, with that many lines. It returns false when it does
// not know the shape; x.res is to be used only when it returns true.
func (x *exchange) parse(block []byte, lines int) bool {
	const version = "HTTP/1.1 "
	if len(block) < len(version)+6 || string(block[:len(version)]) != version {
		return false
	}
	text := string(block)
	status, rest, _ := strings.Cut(text[len(version):], "\r\n")
	code, ok := statusCode(status)
	if !ok {
		return false
	}
	res := &x.res
	res.Status, res.StatusCode = status, code
	res.Proto, res.ProtoMajor, res.ProtoMinor = "HTTP/1.1", 1, 1
	header, values := make(http.Header, lines-2), make([]string, 0, lines-2)
	for len(rest) > 2 {
		var line string
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return false
		}
		if name, ok = canonical(name); !ok {
			return false
		}
		value = trim(value)
		if !httpguts.ValidHeaderFieldValue(value) {
			return false
		}
		if before, ok := header[name]; ok {
			header[name] = append(before, value)
			continue
		}
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	res.Header = header
	return x.frame()
}

// statusCode reads the status of a status line, after its version.
func statusCode(s string) (code int, ok bool) {
	if len(s) < 4 || s[3] != ' ' {
		return 0, false
	}
	for _, digit := range []byte(s[:3]) {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		code = code*10 + int(digit-'0')
	}
	return code, code >= 100 && httpguts.ValidHeaderFieldValue(s)
}

// canonical returns the name of a field as net/http spells it. It returns false for what is no
// name.
func canonical(name string) (string, bool) {
	upper := true
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z':
			if upper {
				return textproto.CanonicalMIMEHeaderKey(name), httpguts.ValidHeaderFieldName(name)
			}
		case c >= 'A' && c <= 'Z':
			if !upper {
				return textproto.CanonicalMIMEHeaderKey(name), httpguts.ValidHeaderFieldName(name)
			}
		case c != '-' && (c < '0' || c > '9'):
			return textproto.CanonicalMIMEHeaderKey(name), httpguts.ValidHeaderFieldName(name)
		}
		upper = c == '-'
	}
	return name, name != ""
}

func trim(value string) string {
	for value != "" && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	for n := len(value); n > 0 && (value[n-1] == ' ' || value[n-1] == '\t'); n = len(value) {
		value = value[:n-1]
	}
	return value
}

// frame finds how long the body is, and whether the connection closes after it (RFC 9112,
// sections 6.3 and 9.6). It returns false when that is not plain to see.
func (x *exchange) frame() bool {
	res := &x.res
	connection, length, coding := res.Header["Connection"], res.Header["Content-Length"], res.Header["Transfer-Encoding"]
	if res.Header["Trailer"] != nil || len(length) > 1 || length != nil && coding != nil {
		return false
	}
	if res.Header["Pragma"] != nil { // ReadResponse makes a Cache-Control of some
		return false
	}
	switch {
	case connection == nil, len(connection) == 1 && strings.EqualFold(connection[0], "keep-alive"):
	case len(connection) == 1 && strings.EqualFold(connection[0], "close"):
		res.Close = true
		delete(res.Header, "Connection") // as ReadResponse does
	default:
		return false
	}
	head := x.req.Method == http.MethodHead
	switch {
	case bodiless(res.StatusCode):
		if head {
			res.ContentLength = -1
		}
		return length == nil && coding == nil
	case length != nil:
		n, err := strconv.ParseUint(length[0], 10, 63)
		res.ContentLength = int64(n)
		return err == nil
	case coding != nil:
		res.ContentLength, res.TransferEncoding = -1, []string{"chunked"}
		delete(res.Header, "Transfer-Encoding")
		return !head && len(coding) == 1 && coding[0] == "chunked"
	}
	res.ContentLength = -1
	res.Close = res.Close || !head
	return true
}

// bodiless reports whether answers of this status have no body (RFC 9110, section 6.4.1).
func bodiless(status int) bool {
	return status/100 == 1 || status == http.StatusNoContent || status == http.StatusNotModified
}
