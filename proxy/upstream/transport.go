package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"ticketproxy/egress"
	"ticketproxy/loopback"
)

// A Dialer opens connections, as net.Dialer.DialContext does.
type Dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// A Config says how an API is reached. The zero value reaches it directly.
type Config struct {
	Timeout time.Duration  // from when a request was written to the end of the answer's header; none when 0
	Roots   *x509.CertPool // nil are the system's
	Proxy   func(*http.Request) (*url.URL, error)
	Dial    Dialer        // nil is the network's
	Answers *AnswerMemory // of all transports; nil bounds each answer alone
}

// A Transport is an http.RoundTripper for one API. It is made for many clients at a time: it
// keeps as many idle connections as they need. Safe for concurrent use.
//
// Hosts that are called without TLS are on this machine, and no proxy is between. Loopback is
// reached as package loopback says.
type Transport struct {
	timeout time.Duration
	answers *AnswerMemory
	pools   pools
	heads   sync.Pool // of *[]byte, for the headers of requests
	copies  sync.Pool // of *chunkBuffer, for their bodies
}

// New returns a transport. Close ends it.
func New(c Config) *Transport {
	dial := c.Dial
	if dial == nil {
		// The probes find within half a minute that an upstream is gone without a
		// FIN or RST: its silent streams end then, and idle connections to it are not used
		// again.
		probes := net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
		dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAliveConfig: probes}).DialContext
	}
	plain := watched(loopback.Dial(dial))
	secure := &egress.Dialer{
		Proxy: loopback.Proxy(c.Proxy),
		Dial:  egress.DialFunc(plain),
		TLS: &tls.Config{
			RootCAs:            c.Roots,
			MinVersion:         tls.VersionTLS12,
			ClientSessionCache: tls.NewLRUClientSessionCache(sessions),
		},
	}
	t := &Transport{timeout: c.Timeout, answers: c.Answers}
	t.pools = pools{dial: map[string]Dialer{"http": plain, "https": secure.DialTLS}, all: map[origin]*pool{}}
	return t
}

// sessions is how many TLS sessions are kept to be resumed (RFC 8446, section 2.2). There is
// one host, or a proxy besides.
const sessions = 8

// RoundTrip implements http.RoundTripper. The request's header is not changed. The methods
// of httptrace are not called, but for Got1xxResponse.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	p, err := t.pools.of(req.URL)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	x := &exchange{transport: t, req: req, ctx: req.Context(), memory: reservation{all: t.answers}}
	if err := x.prepare(); err != nil {
		closeBody(req)
		return nil, err
	}
	for {
		c, err := p.get(x.ctx)
		if err != nil {
			x.freeHead()
			closeBody(req)
			return nil, err
		}
		if err = x.run(c); !errors.Is(err, errStale) {
			if err != nil {
				return nil, err
			}
			return &x.res, nil
		}
	}
}

// CloseIdleConnections closes the connections that no request uses.
func (t *Transport) CloseIdleConnections() { t.pools.each((*pool).closeIdle) }

// Close closes the idle connections, and each of the others when its request is over. Later
// requests have a connection of their own each.
func (t *Transport) Close() { t.pools.close() }

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
