package upstream

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

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
