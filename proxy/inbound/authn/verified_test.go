package authn

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/proxy/inbound"
)

// A pipeListener accepts one connection.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// connected runs a test in virtual time that asks on one connection, on which a token that is sent
// again is known by its field's value.
func connected(t *testing.T, test func(t *testing.T, f *fixture, ask func(fields ...string) string)) {
	t.Helper()
	virtual(t, func(t *testing.T, f *fixture) {
		l := &pipeListener{make(chan net.Conn), make(chan struct{})}
		s := inbound.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, outcome(f.Authenticate(r)))
		}), inbound.NewConnLimiter(10, 1<<20, nil), nil)
		served := make(chan error)
		go func() { served <- s.Serve(l) }()
		app, theirs := net.Pipe()
		l.conns <- theirs
		answers := bufio.NewReader(app)
		test(t, f, func(fields ...string) string {
			t.Helper()
			fmt.Fprintf(app, "GET / HTTP/1.1\r\nHost: localhost\r\n%s\r\n", strings.Join(append(fields, ""), "\r\n"))
			res, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		})
		app.Close()
		s.Drain(t.Context())
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// TestTokenOnItsConnection tests that a token which is known by the request before it is held to
// all that another one is.
func TestTokenOnItsConnection(t *testing.T) {
	t.Parallel()
	connected(t, func(t *testing.T, f *fixture, ask func(...string) string) {
		k := valid().with("exp", time.Now().Add(30*time.Minute).Unix()).String()
		send := "Authorization: Bearer " + k
		expect := func(want string, fields ...string) {
			t.Helper()
			if got := ask(fields...); !strings.Contains(got, want) {
				t.Errorf("%s, want %s", got, want)
			}
		}
		for range 3 {
			expect("nightly by token", send)
		}
		expect("signature", "Authorization: Bearer "+damaged(k, len(k)-20))
		expect("nightly by token", send)
		expect("proves no caller")
		expect("shop by key", "Authorization: Bearer "+f.key)
		expect("nightly by token", send)
		expect("has 2 lines", send, send)
		expect("shop by key", "Proxy-Authorization: Bearer "+f.key, send)
		expect("is not that of the caller", "Authorization: "+basic("shop", k))
		expect("nightly by token", "Authorization: "+basic("nightly", k))
		expect("is not that of the caller", "Authorization: "+basic("shop", k))

		f.issuers.set(func() { f.issuers.keys[ciURL] = f.issuers.keys[ciURL][:1] })
		for range 6 { // the keys are fetched again after five minutes
			time.Sleep(time.Minute)
			ask(send)
			synctest.Wait()
		}
		expect("key is not one of", send)
	})
}

// TestTokenExpiresOnItsConnection tests that a token which was just known expires all the same.
func TestTokenExpiresOnItsConnection(t *testing.T) {
	t.Parallel()
	connected(t, func(t *testing.T, _ *fixture, ask func(...string) string) {
		send := "Authorization: Bearer " + valid().with("exp", time.Now().Add(time.Minute).Unix()).String()
		ask(send)
		time.Sleep(2*time.Minute - time.Second)
		if got := ask(send); got != "nightly by token" {
			t.Error(got)
		}
		time.Sleep(time.Second)
		if got := ask(send); !strings.Contains(got, "expired") {
			t.Error(got)
		}
	})
}

// TestTokenIsUnknownToOtherRules tests that a connection's last token counts for the file with
// which it was proved, and no other.
func TestTokenIsUnknownToOtherRules(t *testing.T) {
	t.Parallel()
	connected(t, func(t *testing.T, f *fixture, ask func(...string) string) {
		send := "Authorization: Bearer " + valid().String()
		ask(send)
		config := f.config
		delete(config.File.Callers, "nightly")
		next, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		before := f.Authenticator
		f.Authenticator = next
		defer before.Close()
		if got := ask(send); strings.Contains(got, "nightly") {
			t.Error(got)
		}
	})
}
