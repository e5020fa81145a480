package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// prepare makes the bytes of the request's header, and of its body if that is whole.
func (x *exchange) prepare() error {
	r := x.req
	x.body, x.length = r.Body, r.ContentLength
	if x.body == http.NoBody {
		x.body = nil
	}
	if x.body != nil && x.length == 0 { // as net/http has it: the length is not known
		x.length = -1
	}
	x.expects = x.body != nil && httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue")
	b, err := appendHeader(x.newHead(), r, x.body != nil, x.length)
	x.head = b
	if err == nil {
		err = x.join()
	}
	if err != nil {
		x.freeHead()
	}
	return err
}

// appendHeader appends the header of a request. The fields are in the order of their names, but
// for Host and what says how long the body is. A name that the map has is written as it is.
func appendHeader(b []byte, r *http.Request, body bool, length int64) ([]byte, error) {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	host, err := hostOf(r)
	if err != nil {
		return b, err
	}
	target := r.URL.RequestURI()
	if !httpguts.ValidHeaderFieldName(method) || strings.ContainsFunc(target, endsTarget) {
		return b, errors.New("sending a request: its method or its target has a character that it must not have")
	}
	b = append(append(append(b, method...), ' '), target...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = appendField(b, "Host", host)
	if b, err = appendFields(b, "User-Agent", r.Header["User-Agent"]); err != nil {
		return b, err
	}
	b = appendFraming(b, r, body, length)
	var space [24]string
	names := space[:0]
	for name := range r.Header {
		switch name {
		case "Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer":
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if b, err = appendFields(b, name, r.Header[name]); err != nil {
			return b, err
		}
	}
	return append(b, "\r\n"...), nil
}

// endsTarget reports whether a character would end the target in a request line, or the line.
func endsTarget(c rune) bool { return c <= ' ' || c == 0x7f }

// appendFraming appends how the body is framed. A request without a body says as much of it as
// the app said.
func appendFraming(b []byte, r *http.Request, body bool, length int64) []byte {
	switch {
	case body && length < 0:
		b = appendField(b, "Transfer-Encoding", "chunked")
	case body:
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), length, 10), "\r\n"...)
	case len(r.Header["Content-Length"]) > 0:
		b = appendField(b, "Content-Length", "0")
	}
	if r.Close {
		b = appendField(b, "Connection", "close")
	}
	return b
}

func appendFields(b []byte, name string, values []string) ([]byte, error) {
	if !httpguts.ValidHeaderFieldName(name) {
		return b, fmt.Errorf("sending a request: %q is no name of a header field", name)
	}
	for _, value := range values {
		if !httpguts.ValidHeaderFieldValue(value) {
			return b, fmt.Errorf("sending a request: the header field %s has a character that it must not have", name)
		}
		if name == "User-Agent" && value == "" { // ReverseProxy's word for none
			continue
		}
		b = appendField(b, name, value)
	}
	return b, nil
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// hostOf returns the value of the Host field.
func hostOf(r *http.Request) (string, error) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	host, err := httpguts.PunycodeHostPort(host)
	if err != nil {
		return "", err
	}
	if !httpguts.ValidHostHeader(host) {
		return "", errors.New("sending a request: its Host has a character that it must not have")
	}
	return withoutZone(host), nil
}

// withoutZone removes the zone of an IPv6 address, which means nothing elsewhere (RFC 6874,
// section 4).
func withoutZone(host string) string {
	if !strings.HasPrefix(host, "[") {
		return host
	}
	end := strings.LastIndexByte(host, ']')
	zone := strings.LastIndexByte(host[:max(end, 0)], '%')
	if zone < 0 {
		return host
	}
	return host[:zone] + host[end:]
}

// join reads a body that is whole into the same write as the header.
func (x *exchange) join() error {
	body, ok := x.body.(Whole)
	room := joinLimit - len(x.head)
	switch {
	case !ok || x.expects || room < int(min(x.length, joinLimit)) || !body.Whole():
		return nil
	case x.length < 0:
		return x.joinChunks(body, room)
	}
	head := len(x.head)
	x.head = slices.Grow(x.head, int(x.length)+1)[:head+int(x.length)]
	if n, err := io.ReadFull(body, x.head[head:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return fmt.Errorf("the request's body ended %d bytes early", int(x.length)-n)
		}
		return err
	}
	if err := readEnd(body, x.head[len(x.head):len(x.head)+1]); err != nil {
		return err
	}
	x.joined()
	return nil
}

// joinChunks is join for a body whose length is not known. What there is no room for is sent later.
func (x *exchange) joinChunks(body io.Reader, room int) error {
	const overhead = chunkRoom + 2 + len(lastChunk)
	if room <= overhead {
		return nil
	}
	part := x.transport.newPart()
	defer x.transport.copies.Put(part)
	n, err := readUpTo(body, part[chunkRoom:chunkRoom+room-overhead])
	if n > 0 {
		x.head = append(x.head, frame(part, n)...)
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	x.head = append(x.head, lastChunk...)
	x.joined()
	return nil
}

// readUpTo fills p, unless the body ends before. Unlike io.ReadFull, it keeps a body's end apart from
// a body that breaks off.
func readUpTo(body io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var part int
		part, err = body.Read(p[n:])
		n += part
	}
	return n, err
}

// joined ends a body that is in x.head.
func (x *exchange) joined() {
	x.closeBody()
	x.body = nil
}
