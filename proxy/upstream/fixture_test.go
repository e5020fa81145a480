package upstream

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come. It is reached only by a test that fails.
func patience() time.Duration {
	if time.Now().Year() == 2000 { // virtual time
		return 24 * time.Hour
	}
	return 5 * time.Second
}

// An api is an upstream whose connections a test plays by hand.
type api struct {
	testing.TB
	dial   Dialer
	start  func() // begins to accept
	peers  chan *peer
	dials  atomic.Int32
	secure *tls.Config             // of the server; nil without TLS
	front  func(net.Conn) net.Conn // a proxy before the server; may be nil

	last   *peer // that accept or latest returned
	served sync.WaitGroup
	mu     sync.Mutex
	opens  []net.Conn
}

// listen returns an api on real sockets.
func listen(t testing.TB) *api {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &api{TB: t, peers: make(chan *peer, 1024)}
	a.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		a.dials.Add(1)
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	var done sync.WaitGroup
	a.start = sync.OnceFunc(func() {
		done.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				a.opened(c)
			}
		})
	})
	t.Cleanup(func() { l.Close(); done.Wait(); a.end() })
	return a
}

// pipes returns an api in memory, for virtual time. A write waits until it is read, so a handshake of
// TLS 1.3, in which both ends write at a time, comes to no end.
func pipes(t testing.TB) *api {
	a := &api{TB: t, peers: make(chan *peer, 1024), start: func() {}}
	a.dial = func(context.Context, string, string) (net.Conn, error) {
		a.dials.Add(1)
		here, there := net.Pipe()
		a.opened(there)
		return here, nil
	}
	t.Cleanup(a.end)
	return a
}

func (a *api) opened(c net.Conn) {
	a.mu.Lock()
	a.opens = append(a.opens, c)
	a.mu.Unlock()
	a.served.Go(func() {
		p := &peer{TB: a.TB, Conn: c, below: c}
		if a.front != nil {
			p.Conn = a.front(c)
		}
		if a.secure != nil {
			secure := tls.Server(p.Conn, a.secure)
			secure.Handshake()
			p.Conn = secure
		}
		p.r = bufio.NewReaderSize(p.Conn, 64<<10)
		a.peers <- p
	})
}

func (a *api) end() {
	a.close()
	a.served.Wait()
}

// close closes all connections.
func (a *api) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.opens {
		c.Close()
	}
}

// transport returns a transport to the api, which ends with the test.
func (a *api) transport(change ...func(*Config)) *Transport {
	a.start()
	c := Config{Timeout: time.Minute, Dial: a.dial}
	if a.secure != nil {
		c.Roots = x509.NewCertPool()
		c.Roots.AddCert(a.secure.Certificates[0].Leaf)
	}
	for _, f := range change {
		f(&c)
	}
	t := New(c)
	a.Cleanup(t.Close)
	return t
}

// accept waits for the next connection.
func (a *api) accept() *peer {
	a.Helper()
	select {
	case a.last = <-a.peers:
	case <-time.After(patience()):
		a.Fatal("no connection was opened")
	}
	return a.last
}

// latest returns the connection that was opened last, in virtual time.
func (a *api) latest() *peer {
	a.Helper()
	synctest.Wait()
	select {
	case a.last = <-a.peers:
	default:
	}
	return a.last
}

// serveAll answers all requests as answers does, until stop is called.
func (a *api) serveAll(text string) (stop func()) {
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case p := <-a.peers:
				all.Go(func() {
					for p.answers(text) {
					}
				})
			case <-done:
				return
			}
		}
	})
	return func() { close(done); a.close(); all.Wait() }
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// request makes a request to the api. Its scheme is https with TLS.
func (a *api) request(method string, body io.Reader, header ...string) *http.Request {
	a.Helper()
	url := "http://api.test/path"
	if a.secure != nil {
		url = "https://api.test/path"
	}
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		a.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return req
}

// get begins a GET.
func (a *api) get(transport http.RoundTripper) *call {
	a.Helper()
	return begin(a.TB, transport, a.request("GET", nil))
}

// kept makes one exchange, and returns the connection, which is idle then.
func (a *api) kept(transport *Transport) *peer {
	a.Helper()
	c := a.get(transport)
	p := a.accept()
	p.serve()
	c.want("ok")
	eventually(a, "an idle connection", func() bool { return len(transport.idle()) > 0 })
	return p
}

// idle returns the connections that are idle.
func (t *Transport) idle() (all []*conn) {
	t.pools.each(func(p *pool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		all = append(all, p.idle...)
	})
	return all
}

// withTLS gives an api a certificate for api.test, and the versions that it speaks.
func (a *api) withTLS(version uint16) *api {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		DNSNames:              []string{"api.test", "proxy.test"},
		NotBefore:             time.Unix(0, 0),
		NotAfter:              time.Unix(1<<36, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		a.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatal(err)
	}
	a.secure = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}},
		MinVersion:   version,
		MaxVersion:   version,
	}
	return a
}

func is[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// eventually waits for what another goroutine does, which tells nobody.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience()); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("there is never %s", what)
		}
	}
}
