package upstream

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// arrived waits until there is something to read on each idle connection, and does not read it.
func arrived(t *testing.T, transport *Transport) {
	t.Helper()
	for _, c := range transport.idle() {
		err := c.watch.raw.Read(func(fd uintptr) bool {
			_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
			return err != syscall.EAGAIN
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func overEach(t *testing.T, test func(t *testing.T, a *api)) {
	for name, version := range map[string]uint16{"plain": 0, "TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := listen(t)
			if version != 0 {
				a.withTLS(version)
			}
			test(t, a)
		})
	}
}

// methods sends a request of each kind on a connection that spoil has closed, and wants it to
// reach another one, once.
func methods(t *testing.T, a *api, spoil func(*peer)) {
	for _, test := range []struct {
		method string
		body   func() io.Reader
	}{
		{"GET", func() io.Reader { return nil }},
		{"POST", func() io.Reader { return nil }},
		{"POST", func() io.Reader { return &whole{strings.NewReader("small")} }},
		{"POST", func() io.Reader { return io.MultiReader(strings.NewReader("stream")) }},
	} {
		transport := a.transport()
		old := a.kept(transport)
		spoil(old)
		arrived(t, transport)
		c := begin(t, transport, a.request(test.method, test.body()))
		fresh := a.accept()
		if req, _ := fresh.request(); req.Method != test.method {
			t.Errorf("got %s, want %s", req.Method, test.method)
		}
		fresh.say(ok)
		c.want("ok")
		transport.Close()
		if sent := old.rest(); sent != "" {
			t.Errorf("%s was sent on the connection that the upstream had closed: %q", test.method, sent)
		}
		if sent := fresh.rest(); sent != "" {
			t.Errorf("%s was sent twice: %q", test.method, sent)
		}
	}
}

// whole is a body that is in memory.
type whole struct{ io.Reader }

func (*whole) Whole() bool  { return true }
func (*whole) Close() error { return nil }

// A connection that the upstream has ended gets no request.
func TestFIN(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, a *api) {
		methods(t, a, func(p *peer) { p.below.(*net.TCPConn).CloseWrite() })
	})
}

func TestCloseNotify(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		methods(t, listen(t).withTLS(version), func(p *peer) { p.Conn.(*tls.Conn).CloseWrite() })
	}
}

func TestRST(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, a *api) {
		transport := a.transport()
		old := a.kept(transport)
		old.below.(*net.TCPConn).SetLinger(0)
		old.below.Close()
		arrived(t, transport)
		c := begin(t, transport, a.request("POST", strings.NewReader("body")))
		a.accept().serve()
		c.want("ok")
	})
}

// Bytes that nobody asked for are no answer to the next request. Some upstreams send a 408 before
// they close an idle connection; others send a body after an answer to HEAD.
func TestUnaskedBytesAreNoAnswer(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"an answer":             "HTTP/1.1 408 Request Timeout\r\nContent-Length: 5\r\n\r\nwrong",
		"an interim answer":     "HTTP/1.1 103 Early Hints\r\n\r\n",
		"an answer's beginning": "HTTP/1.1 200",
		"one byte":              "H",
		"no HTTP":               "\r\n",
		"a long header":         "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 20<<10) + "\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overEach(t, func(t *testing.T, a *api) { methods(t, a, func(p *peer) { p.say(text) }) })
		})
	}
}

// Of several connections that the upstream has closed, none gets the request.
func TestManyStale(t *testing.T) {
	t.Parallel()
	a := listen(t)
	transport := a.transport()
	var calls []*call
	var peers []*peer
	for range 5 {
		calls = append(calls, a.get(transport))
		p := a.accept()
		p.request()
		peers = append(peers, p)
	}
	for i, p := range peers {
		p.say(ok)
		calls[i].want("ok")
	}
	is(t, "idle connections", len(transport.idle()), 5)
	for _, p := range peers {
		p.Close()
	}
	arrived(t, transport)
	c := begin(t, transport, a.request("POST", strings.NewReader("body")))
	a.accept().serve()
	c.want("ok")
	is(t, "connections", a.dials.Load(), 6)
}

// Session tickets that come while the connection is idle (TLS 1.3) neither close it nor answer the
// next request.
func TestTicketsAreNoAnswer(t *testing.T) {
	t.Parallel()
	a := listen(t).withTLS(tls.VersionTLS13)
	dialling, dial := make(chan struct{}), a.dial
	transport := a.transport(func(c *Config) {
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dialling <- struct{}{} // begun
			dialling <- struct{}{}
			return dial(ctx, network, address)
		}
	})
	ctx, leave := context.WithCancel(t.Context())
	left := begin(t, transport, a.request("GET", nil).WithContext(ctx))
	<-dialling
	leave()
	left.fails(context.Canceled)
	<-dialling
	p := a.accept()
	eventually(t, "an idle connection", func() bool { return len(transport.idle()) == 1 })
	arrived(t, transport) // the tickets

	c := begin(t, transport, a.request("POST", strings.NewReader("body")))
	p.serve()
	c.want("ok")
	is(t, "connections", a.dials.Load(), 1)
}

// After the first byte nothing is sent again, whatever the method.
func TestNeverSentTwice(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, a *api) {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "POST"} {
			transport := a.transport()
			p := a.kept(transport)
			req := a.request(method, nil)
			req.Header["Idempotency-Key"] = []string{"1"}
			dials := a.dials.Load()
			c := begin(t, transport, req)
			p.request()
			p.below.Close()
			if err := c.end(); err == nil {
				t.Errorf("%s: got %d", method, c.res.StatusCode)
			}
			is(t, method+": connections", a.dials.Load(), dials)
		}
	})
}

// Bytes that TLS has read together with an answer, and has not given out, are no answer to the next
// request. Nor is the end of the connection missed.
func TestRecordsThatCameWithAnAnswer(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*peer){
		"an answer":    func(p *peer) { p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong") },
		"close_notify": func(p *peer) { p.Conn.(*tls.Conn).CloseWrite() },
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				a := listen(t).withTLS(version)
				fronts := make(chan *corked, 2)
				a.front = func(c net.Conn) net.Conn {
					front := &corked{Conn: c}
					fronts <- front
					return front
				}
				transport := a.transport()
				c := a.get(transport)
				p, front := a.accept(), <-fronts
				p.request()
				front.held = []byte{}
				p.say(ok)
				end(p)
				p.below.SetWriteDeadline(time.Time{}) // CloseWrite has set one
				front.Conn.Write(front.held)
				c.want("ok")
				c = begin(t, transport, a.request("POST", strings.NewReader("body")))
				a.accept().serve()
				c.want("ok")
			})
		}
	}
}

// A corked connection keeps what is written, once held is not nil.
type corked struct {
	net.Conn
	held []byte
}

func (c *corked) Write(p []byte) (int, error) {
	if c.held == nil {
		return c.Conn.Write(p)
	}
	c.held = append(c.held, p...)
	return len(p), nil
}
