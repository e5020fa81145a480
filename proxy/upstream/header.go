package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
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
