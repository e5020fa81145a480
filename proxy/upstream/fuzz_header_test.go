package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// answers are seeds: each shape of a header that parse knows, and others.
var answers = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\nT: x\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nA: b\r\na: c\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n",
	"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nbytes",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
	"HTTP/1.1 200\r\nPragma: no-cache\r\nfolded: a\r\n b\r\n\r\nok",
	"HTTP/1.1 200  \xff\r\nX_y: \t z \t\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/2.0 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
	"HTTP/1.1 099 X\r\n\r\n",
}

// An inbox is a connection from which bytes are read once something was written, until an end.
type inbox struct {
	bytes   *bytes.Reader
	written chan struct{}
	closed  chan struct{}
	once    sync.Once
}

func newInbox(b []byte) *inbox {
	return &inbox{bytes: bytes.NewReader(b), written: make(chan struct{}, 1), closed: make(chan struct{})}
}

func (i *inbox) Read(p []byte) (int, error) {
	select {
	case <-i.written:
		i.written <- struct{}{}
		return i.bytes.Read(p)
	case <-i.closed:
		return 0, net.ErrClosed
	}
}

func (i *inbox) Write(p []byte) (int, error) {
	select {
	case i.written <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (i *inbox) Close() error {
	i.once.Do(func() { close(i.closed) })
	return nil
}

func (i *inbox) isClosed() bool {
	select {
	case <-i.closed:
		return true
	default:
		return false
	}
}

func (*inbox) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*inbox) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*inbox) SetDeadline(time.Time) error      { return nil }
func (*inbox) SetReadDeadline(time.Time) error  { return nil }
func (*inbox) SetWriteDeadline(time.Time) error { return nil }

// parsed reads a header by one of our ways, and what follows it.
func parsed(b []byte, req *http.Request, read func(*exchange) error) (*http.Response, []byte, error) {
	in := newInbox(b)
	in.written <- struct{}{}
	x := &exchange{req: req, ctx: context.Background(), conn: newConn(in, nil)}
	x.conn.r.Peek(1)
	if err := read(x); err != nil {
		return nil, nil, err
	}
	rest, _ := io.ReadAll(x.conn.r)
	return &x.res, rest, nil
}

// FuzzHeader has both our ways to read a header, and net/http's, read the same bytes. They find the
// same in it. It is known that ours differ from net/http's in this:
//
//	a status below 100    an error: an app's server could not pass it on
//	a very long header    an error beyond 1 MB, and with more than some 3,000 lines
func FuzzHeader(f *testing.F) {
	for _, text := range answers {
		f.Add([]byte(text), false)
		f.Add([]byte(text), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, head bool) {
		req := &http.Request{Method: http.MethodGet}
		if head {
			req.Method = http.MethodHead
		}
		r := bufio.NewReader(bytes.NewReader(b))
		want, err := http.ReadResponse(r, req)
		if err == nil && want.StatusCode < 100 {
			err = errMalformed
		}
		rest, _ := io.ReadAll(r)
		ways := map[string]func(*exchange) error{"readHeader": (*exchange).readHeader, "readLong": (*exchange).readLong}
		for name, read := range ways {
			got, ours, mistake := parsed(b, req, read)
			if errors.Is(mistake, errAnswerLong) {
				continue
			}
			if (err == nil) != (mistake == nil) {
				t.Fatalf("%s: error %v, net/http's %v, of %q", name, mistake, err, b)
			}
			if err != nil {
				continue
			}
			same(t, name, b, got, want)
			if !bytes.Equal(ours, rest) {
				t.Fatalf("%s leaves %q, net/http %q, of %q", name, ours, rest, b)
			}
		}
	})
}

// same compares two answers without their bodies.
func same(t *testing.T, name string, b []byte, got, want *http.Response) {
	t.Helper()
	fields := func(r *http.Response) []any {
		trailer := r.Trailer
		if len(trailer) == 0 {
			trailer = nil
		}
		return []any{r.Status, r.StatusCode, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Header, r.ContentLength,
			r.TransferEncoding, r.Close, trailer}
	}
	if !reflect.DeepEqual(fields(got), fields(want)) {
		t.Fatalf("%s: got\n%v, net/http\n%v, of %q", name, fields(got), fields(want), b)
	}
}

// Headers of all lengths around that of the read buffer are read alike.
func TestHeaderAtTheBuffer(t *testing.T) {
	t.Parallel()
	for size := readBuffer - 60; size < readBuffer+10; size++ {
		b := []byte("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", size-20) + "\r\n\r\nbody")
		res, rest, err := parsed(b, &http.Request{Method: "GET"}, (*exchange).readHeader)
		if err != nil || len(res.Header.Get("X")) != size-20 || string(rest) != "body" {
			t.Errorf("%d bytes: %v, %q after it", size, err, rest)
		}
	}
}
