package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// A sent is what an upstream gets of a request; err is why that is no request.
type sent struct {
	method, target, host string
	header               http.Header
	length               int64
	coding               []string
	body                 string
	err                  error
	nothing              bool // was written
}

// sentBy returns what a transport sends. The request's error is that of RoundTrip.
func sentBy(req *http.Request, transport func(dial Dialer) (http.RoundTripper, func())) (s sent, failed error) {
	got := make(chan sent, 1)
	s.nothing = true
	roundTripper, end := transport(func(context.Context, string, string) (net.Conn, error) {
		s.nothing = false
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			got <- receivedBy(there)
			io.WriteString(there, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}()
		return here, nil
	})
	res, failed := roundTripper.RoundTrip(req)
	if failed == nil {
		res.Body.Close()
	}
	end()
	if s.nothing {
		return s, failed
	}
	return <-got, failed
}

func receivedBy(c net.Conn) (s sent) {
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return sent{err: err}
	}
	body, err := io.ReadAll(req.Body)
	return sent{req.Method, req.RequestURI, req.Host, req.Header, req.ContentLength, req.TransferEncoding, string(body), err, false}
}

// FuzzRequest has our transport and net/http's send the same request. The upstream gets the same. It
// is known that ours differs in this:
//
//	a target with a space, a method or target that is broken    an error: net/http's sends some
//	User-Agent, Accept-Encoding, Content-Length: 0              nothing is added
//	more than one User-Agent                                    all are sent, not the first alone
//	a broken field                                              an error of both, in other words
//	a Host that is no host                                      an error: net/http's sends another
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/path?query", "", "Accept", "a", "X_y", "z", "", 0)
	f.Add("POST", "/", "api.test:8080", "Content-Length", "4", "Transfer-Encoding", "chunked", "body", 1)
	f.Add("PUT", "//a b/%zz", "[fe80::1%25eth0]:80", "User-Agent", "", "user-agent", "b", "body", 2)
	f.Add("", "*", "bücher.test", "Connection", "close", "Trailer", "X", strings.Repeat("long", 10000), 3)
	f.Add("HEAD", "/a;b", "x", "Host", "other", "Expect", "100-continue", "", 2)
	f.Add("DELETE", "/\x7f", "a b", "a\nb", "c", "d", "e\r\nf", "body", 1)
	f.Fuzz(func(t *testing.T, method, target, host, name, value, second, other, text string, mode int) {
		if mode&3 != 0 && text == "" { // net/http's looks first, and sends a request without a body
			return
		}
		for _, field := range []string{name, second} {
			switch canonical := http.CanonicalHeaderKey(field); canonical {
			case "Expect": // net/http's waits for a second
				return
			case "Content-Length", "Transfer-Encoding", "Host", "Trailer":
				if field != canonical { // which net/http's server never gives; both transports send it
					return
				}
			}
		}
		request := func() *http.Request {
			req, err := http.NewRequest("GET", "http://api.test/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Method, req.Host = method, host
			target := "/" + strings.TrimPrefix(target, "/")
			path, query, found := strings.Cut(target, "?")
			req.URL = &url.URL{Scheme: "http", Host: "api.test", Path: path, RawPath: path, RawQuery: query, ForceQuery: found}
			req.Header = http.Header{"User-Agent": {"x"}}
			for _, field := range [][2]string{{name, value}, {second, other}} {
				if field[0] == "User-Agent" {
					delete(req.Header, field[0])
				}
				req.Header[field[0]] = append(req.Header[field[0]], field[1])
			}
			switch mode & 3 {
			case 1:
				req.Body, req.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
			case 2:
				req.Body, req.ContentLength = &whole{strings.NewReader(text)}, int64(len(text))
			case 3:
				req.Body, req.ContentLength = io.NopCloser(strings.NewReader(text)), -1
			}
			return req
		}
		want, err := sentBy(request(), func(dial Dialer) (http.RoundTripper, func()) {
			theirs := &http.Transport{DialContext: dial, DisableCompression: true}
			return theirs, theirs.CloseIdleConnections
		})
		got, mistake := sentBy(request(), func(dial Dialer) (http.RoundTripper, func()) {
			ours := New(Config{Dial: dial})
			return ours, ours.Close
		})
		switch {
		case mistake != nil && got.nothing && (err != nil || want.err != nil): // nothing that is broken goes out
			return
		case mistake != nil && got.nothing && (want.host != host || strings.ContainsFunc(target, endsTarget)):
			return
		case err != nil && mistake == nil && got.err == nil: // ours leaves the broken field out
			return
		case err != nil || mistake != nil || got.err != nil || want.err != nil:
			t.Fatalf("ours: %v, upstream %v; net/http's: %v, upstream %v", mistake, got.err, err, want.err)
		}
		added(want, got)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got\n%#v, of net/http\n%#v", got, want)
		}
	})
}

// added removes the length of a request that has no body: net/http's says it for some methods, ours
// for an app that said it.
func added(requests ...sent) {
	for _, r := range requests {
		if r.length == 0 {
			delete(r.header, "Content-Length")
		}
	}
}
