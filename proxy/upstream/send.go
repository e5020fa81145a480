package upstream

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// A Whole is a request body that knows whether it is in memory to its end. It is then read
// before a connection is looked for, and sent in one write with the header.
type Whole interface {
	io.ReadCloser
	// Whole reports whether no read will wait.
	Whole() bool
}

// newHead returns memory for the request's header.
func (x *exchange) newHead() []byte {
	from, ok := x.transport.heads.Get().(*[]byte)
	if !ok {
		from = new([]byte)
	}
	x.from = from
	return (*from)[:0]
}

// freeHead gives that memory back. It may be called again.
func (x *exchange) freeHead() {
	if x.from != nil && cap(x.head) <= 2*joinLimit {
		*x.from = x.head
		x.transport.heads.Put(x.from)
	}
	x.head, x.from = nil, nil
}

// A bodyError is the end of a request's body that could not be read.
type bodyError struct{ error }

func (e bodyError) Unwrap() error { return e.error }

// chunkRoom is the room that the size of a chunk takes before it, in bytes.
const chunkRoom = 10

const copySize = 32 << 10

const lastChunk = "0\r\n\r\n"

// A chunkBuffer has a part of a body, with room for what makes a chunk of it.
type chunkBuffer [chunkRoom + copySize + 2]byte

func (t *Transport) newPart() *chunkBuffer {
	part, ok := t.copies.Get().(*chunkBuffer)
	if !ok {
		part = new(chunkBuffer)
	}
	return part
}

// copyBody sends the body. Each part that is read is written at once.
func (x *exchange) copyBody() error {
	room := x.transport.newPart()
	defer x.transport.copies.Put(room)
	if x.length < 0 {
		return x.copyChunks(room)
	}
	part, left := room[:copySize], x.length
	for left > 0 {
		n, err := x.body.Read(part[:min(int64(len(part)), left)])
		if left -= int64(n); n > 0 {
			if _, err := x.conn.Conn.Write(part[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && left == 0:
			return nil
		case errors.Is(err, io.EOF):
			return bodyError{fmt.Errorf("the request's body ended %d bytes early", left)}
		default:
			return bodyError{err}
		}
	}
	return readEnd(x.body, part[:1])
}

// readEnd reads the end of a body whose bytes were read. It has room for a byte that must not come.
func readEnd(body io.Reader, room []byte) error {
	for {
		n, err := body.Read(room)
		switch {
		case n > 0:
			return bodyError{errors.New("the request's body is longer than its Content-Length")}
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return bodyError{err}
		}
	}
}

// copyChunks sends the body in the chunked coding (RFC 9112, section 7.1), without a trailer.
func (x *exchange) copyChunks(room *chunkBuffer) error {
	for {
		n, err := x.body.Read(room[chunkRoom : chunkRoom+copySize])
		if n > 0 {
			if _, err := x.conn.Conn.Write(frame(room, n)); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			_, err = io.WriteString(x.conn.Conn, lastChunk)
			return err
		default:
			return bodyError{err}
		}
	}
}

// frame makes a chunk of n bytes that are in room already.
func frame(room *chunkBuffer, n int) []byte {
	var digits [chunkRoom]byte
	size := append(strconv.AppendInt(digits[:0], int64(n), 16), '\r', '\n')
	from := chunkRoom - len(size)
	copy(room[from:], size)
	copy(room[chunkRoom+n:], "\r\n")
	return room[from : chunkRoom+n+2]
}

// hurry bounds what remains to be written when the answer is complete.
func (x *exchange) hurry() {
	if x.parts.Load() > 1 {
		x.answer.hurried = true
		x.conn.writeUntil(time.Now().Add(lateBody))
	}
}
