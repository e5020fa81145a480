package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"time"

	"ticketproxy/egress"
	"ticketproxy/loopback"
)

// A Dialer opens connections, as net.Dialer.DialContext does.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// NewTransport returns a transport to one upstream, made for many clients at a
// time: it keeps as many idle connections as they need, and passes bodies as
// they are. The timeout bounds the wait for an answer's header, from when the
// request was written. A nil dial is the network's; nil roots are the system's;
// a nil proxy means none on the way out. Hosts that are called without TLS are
// on this machine, and no proxy is between. Loopback is reached as package loopback
// says.
func NewTransport(
	timeout time.Duration,
	roots *x509.CertPool,
	proxy func(*http.Request) (*url.URL, error),
	dial Dialer,
) *http.Transport {
	if dial == nil {
		// The probes find within half a minute that an upstream is gone without a
		// FIN or RST, as HTTP/2's pings would: its silent streams end then, and idle
		// connections to it are not used again.
		probes := net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
		dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAliveConfig: probes}).DialContext
	}
	dial = loopback.Dial(dial)
	secure := &egress.Dialer{
		Proxy: loopback.Proxy(proxy),
		Dial:  egress.DialFunc(dial),
		TLS:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	return &http.Transport{
		DialContext:            metered(dial),
		DialTLSContext:         metered(secure.DialTLS),
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        90 * time.Second,
		ResponseHeaderTimeout:  timeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: answerMost, // a bound for each interim answer; the meter's is lower
		DisableCompression:     true,
		Protocols:              protocols(),
	}
}

// protocols is HTTP/1.1 alone: HTTP/2 costs no less, and there all streams share the
// window that a slow one fills.
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}
