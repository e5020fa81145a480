package inbound

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// followed returns text as the server gets it when it comes in pieces of that size.
func followed(text string, size int) string {
	var f framing
	got := []byte(text)
	for p := got; len(p) > 0; {
		n := min(size, len(p))
		f.follow(p[:n])
		p = p[n:]
	}
	return string(got)
}

func TestFramedInTwoWays(t *testing.T) {
	t.Parallel()
	const chunks = "5\r\nhello\r\n0\r\n\r\n"
	for _, before := range []string{
		"",
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\nx:",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1a ;x=y\r\nContent-Length: 5 \r\n\r\n 012\r\n0\r\nTrailer: 1\r\n\r\n",
		"PUT / HTTP/1.1\r\nX: " + strings.Repeat("long", 99) + "\r\n folded: \r\nContent-Length: 0\r\n\r\n",
	} {
		for request, want := range map[string]string{
			"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks:        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding  chunked\r\n\r\n" + chunks,
			"POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nX: y\r\nCONTENT-LENGTH:5\r\n\r\n":           "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nX: y\r\nCONTENT-LENGTH 5\r\n\r\n",
			"POST / HTTP/1.1\nTransfer-Encoding: x\nContent-Length: 5\n\n":                               "POST / HTTP/1.1\nTransfer-Encoding: x\nContent-Length  5\n\n",
			"POST / HTTP/1.1\r\nContent-Length: 29\r\n\r\nTransfer-Encoding: chunked\r\n\r\n":            "same",
			"POST /:Content-Length: HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks:             "same",
			"POST / HTTP/1.1\r\nX: Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks:     "same",
			"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\nX\r\nContent-Length: 5\r\nTransfer-Encoding: x": "same",
		} {
			if want == "same" {
				want = request
			}
			for size := 1; size < 400; size += 1 + size/3 {
				if got := followed(before+request, size); got != before+want {
					t.Errorf("in pieces of %d: got %q, want %q", size, got, before+want)
				}
			}
		}
	}
}

// No more of a long line is kept than is looked at.
func TestFramingKeepsLittleOfALine(t *testing.T) {
	t.Parallel()
	var f framing
	for range 100 {
		f.follow(bytes.Repeat([]byte("x"), 50))
		if len(f.line) > longLine {
			t.Fatalf("%d bytes of a line are kept", len(f.line))
		}
	}
}

// FuzzFraming checks that one byte is changed in a request with two framings, so that
// net/http refuses it, and that no other byte is changed.
func FuzzFraming(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 7)
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"), 1000)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		got := []byte(followed(string(text), max(1, size)))
		taken, both := walk(text)
		changed := 0
		for i := range text {
			if text[i] == got[i] {
				continue
			}
			changed++
			if reached, _ := walk(got); i < reached {
				t.Errorf("byte %d of %q is changed, of which net/http reads %d", i, text, reached)
			}
		}
		if changed > 1 || both && changed == 0 {
			t.Errorf("%d bytes of %q are changed, of which net/http reads %d; framed in two ways: %t", changed, text, taken, both)
		}
	})
}

// walk returns how many bytes net/http reads as whole requests, and whether one of these
// plainly has two framings.
func walk(text []byte) (taken int, both bool) {
	source := bytes.NewReader(text)
	r := bufio.NewReader(source)
	for {
		header := text[taken:]
		req, err := http.ReadRequest(r)
		if err != nil {
			return taken, both
		}
		header = header[:len(header)-source.Len()-r.Buffered()]
		if _, err := io.Copy(io.Discard, req.Body); err != nil || req.Header.Get("Upgrade") != "" {
			return taken, both
		}
		taken = len(text) - source.Len() - r.Buffered()
		both = both || len(req.TransferEncoding) > 0 && bytes.Contains(header, []byte("\nContent-Length: 1\r\n"))
	}
}
