package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"time"
)

// A Dialer opens connections, as net.Dialer.DialContext does.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// NewTransport returns a transport to one upstream, made for many clients at a
// time: it keeps as many idle connections as they need, and passes bodies as
// they are. The timeout bounds the wait for an answer's header, from when the
// request was written. A nil dial is the network's; nil roots are the system's;
// a nil egress means no proxy on the way out.
func NewTransport(timeout time.Duration, roots *x509.CertPool, egress func(*http.Request) (*url.URL, error), dial Dialer) *http.Transport {
	if dial == nil {
		// The probes find within half a minute that an upstream is gone without a
		// word, as HTTP/2's pings would: its silent streams end then, and idle
		// connections to it are not used again.
		probes := net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
		dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAliveConfig: probes}).DialContext
	}
	return &http.Transport{
		Proxy: egress,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
				x.dialed.Store(true)
			}
			return dial(ctx, network, address)
		},
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        90 * time.Second,
		ResponseHeaderTimeout:  timeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 1 << 20,
		DisableCompression:     true,
		Protocols:              protocols(),
	}
}

// protocols is HTTP/1.1 alone: HTTP/2 costs no less, and one slow stream's
// window there is every other's.
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}
