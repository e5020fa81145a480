package issuer_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/dialect"
	"ticketproxy/tokens/issuer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Values of the requests in these tests. No error may show any of them.
const (
	refreshToken = "the-refresh+token/with=specials"
	clientID     = "the-client+id"
	clientSecret = "the:client/secret=with specials"
	password     = "the-password&with=specials"
	code         = "the-code+with/specials"
	verifier     = "the-verifier"
)

func lookup(t testing.TB, name string) dialect.Dialect {
	t.Helper()
	d, ok := dialect.Lookup(name)
	if !ok {
		t.Fatalf("there is no dialect %q", name)
	}
	return d
}

// client returns a client of the dialect whose issuer is at base.
func client(d dialect.Dialect, base string) *issuer.Client { return issuer.New(config(d, base)) }

func config(d dialect.Dialect, base string) issuer.Config {
	d.TokenURL = base + "/token"
	return issuer.Config{
		Dialect:      d,
		ClientID:     clientID,
		ClientSecret: secret.New(clientSecret),
		Transport:    issuer.Transport(nil, nil, nil),
	}
}

// failure checks that err is an *IssuerError that shows no part of the request's values,
// and returns it.
func failure(t testing.TB, err error) *tokens.IssuerError {
	t.Helper()
	var e *tokens.IssuerError
	if !errors.As(err, &e) {
		t.Fatalf("error is a %T, want *tokens.IssuerError: %v", err, err)
	}
	text := fmt.Sprintf("%v %+v %#v %q", err, err, err, err)
	for inner := error(e); inner != nil; inner = errors.Unwrap(inner) {
		text += fmt.Sprintf(" %v %+v %#v %q", inner, inner, inner, inner)
	}
	for _, s := range []string{refreshToken[:12], clientSecret[:12], password[:12], code[:9], verifier[:9]} {
		if strings.Contains(text, s) {
			t.Errorf("error shows %q: %s", s, text)
		}
	}
	return e
}

// listen serves every connection with handle. connections counts them; the test calls it
// once, after the client's last request.
func listen(t *testing.T, handle func(net.Conn)) (addr string, connections func() int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan string, 64)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			accepted <- conn.RemoteAddr().String()
			serving.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		serving.Wait()
	})
	return ln.Addr().String(), func() int {
		// Connections are accepted in order: when the last one is, all earlier ones
		// have been counted.
		last, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer last.Close()
		n := 0
		for from := range accepted {
			if from == last.LocalAddr().String() {
				break
			}
			n++
		}
		return n
	}
}

// readRequest returns a request as it came, byte for byte.
func readRequest(conn io.Reader) ([]byte, error) {
	var raw bytes.Buffer
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(conn, &raw)))
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, req.Body)
	return raw.Bytes(), err
}

// A fakeIssuer is a round tripper in place of the connection and the issuer.
type fakeIssuer func(*http.Request) (*http.Response, error)

func (f fakeIssuer) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// answering reads each request and gives it the same answer.
func answering(status int, header http.Header, body string) fakeIssuer {
	return func(req *http.Request) (*http.Response, error) {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
		if header == nil {
			header = http.Header{}
		}
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// refresh calls Refresh of a client with the given transport.
func refresh(t testing.TB, d dialect.Dialect, transport http.RoundTripper) (tokens.Grant, error) {
	t.Helper()
	c := config(d, "https://issuer.example")
	c.Transport = transport
	return issuer.New(c).Refresh(context.Background(), secret.New(refreshToken))
}
