package upstream

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"testing"
)

// An outcome is what came of a request.
type outcome struct {
	res     *http.Response
	body    string
	err     error // of RoundTrip
	broken  bool  // the body's end was an error
	interim string
	kept    bool // the connection may serve another request
}

// outcomeOf sends a request, and reads the answer to its end.
func outcomeOf(transport http.RoundTripper, req *http.Request) (o outcome) {
	trace := &httptrace.ClientTrace{
		PutIdleConn: func(err error) { o.kept = err == nil }, // net/http's alone
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			o.interim += fmt.Sprintln(code, header)
			return nil
		},
	}
	o.res, o.err = transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(context.Background(), trace)))
	if o.err != nil {
		return o
	}
	defer o.res.Body.Close()
	b, err := io.ReadAll(o.res.Body)
	o.body, o.broken = string(b), err != nil
	return o
}

// leftOver reports whether there are bytes after the answer.
func leftOver(b []byte, req *http.Request) bool {
	r := bufio.NewReaderSize(bytes.NewReader(b), len(b)+16)
	for {
		res, err := http.ReadResponse(r, req)
		if err != nil {
			return false
		}
		io.Copy(io.Discard, res.Body)
		if res.StatusCode/100 != 1 {
			return r.Buffered() > 0
		}
	}
}

// FuzzAnswer gives the same bytes to our transport and to net/http's as an answer. Both make the
// same of it. It is known that ours differs in this:
//
//	a status below 100     an error: an app's server could not pass it on
//	bytes after an answer  ours closes the connection. net/http's keeps it, and closes it when it
//	                       has read them
//	HTTP/1.0               ours closes the connection, also with Connection: keep-alive
func FuzzAnswer(f *testing.F) {
	log.SetOutput(io.Discard) // net/http says that it has read them
	for _, text := range answers {
		f.Add([]byte(text), false)
		f.Add([]byte(text), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, head bool) {
		if len(b) >= readBuffer { // FuzzHeader has longer ones; here, all is in the buffer
			return
		}
		req, _ := http.NewRequest(http.MethodGet, "http://api.test/", nil)
		if head {
			req.Method = http.MethodHead
		}
		var last *inbox
		dial := func(context.Context, string, string) (net.Conn, error) {
			last = newInbox(b)
			return last, nil
		}
		theirs := &http.Transport{DialContext: dial, DisableCompression: true}
		want := outcomeOf(theirs, req)
		theirs.CloseIdleConnections()
		ours := New(Config{Dial: dial})
		got := outcomeOf(ours, req)
		eventually(t, "an end of the exchange", func() bool {
			got.kept = len(ours.idle()) > 0
			return got.kept || last.isClosed()
		})
		ours.Close()

		if want.err == nil && want.res.StatusCode < 100 {
			want.err = errMalformed
		}
		if (got.err == nil) != (want.err == nil) {
			t.Fatalf("error %v, net/http's %v, of %q", got.err, want.err, b)
		}
		if want.err != nil {
			return
		}
		if leftOver(b, req) || !want.res.ProtoAtLeast(1, 1) {
			want.kept = false
		}
		same(t, "the transport", b, got.res, want.res)
		if got.body != want.body || got.broken != want.broken || got.interim != want.interim || got.kept != want.kept {
			t.Fatalf("got\n%q %v %q %v, net/http\n%q %v %q %v, of %q", got.body, got.broken, got.interim, got.kept,
				want.body, want.broken, want.interim, want.kept, b)
		}
	})
}
