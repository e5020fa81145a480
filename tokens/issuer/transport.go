package issuer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"

	"ticketproxy/egress"
	"ticketproxy/loopback"
)

// maxHeader bounds the header of an answer, interim answers included, in bytes.
const maxHeader = 64 << 10

// Transport returns a transport fit for token requests, in which nothing is
// ever sent twice: each request has a connection of its own, because an idle one
// that the issuer has just closed is the commonest way to lose an answer, and
// the protocol is HTTP/1.1, because HTTP/2 may send again what it believes unread.
// Nothing is decompressed. A nil roots is the system's, a nil proxy none, a nil
// dial net.Dialer's. Hosts that are called without TLS are on this machine, and no
// proxy is between. Loopback is reached as package loopback says.
func Transport(
	roots *x509.CertPool,
	proxy func(*http.Request) (*url.URL, error),
	dial func(ctx context.Context, network, addr string) (net.Conn, error),
) *http.Transport {
	if dial == nil {
		dial = (&net.Dialer{Timeout: defaultTimeout}).DialContext
	}
	dial = loopback.Dial(dial)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	secure := &egress.Dialer{
		Proxy: loopback.Proxy(proxy),
		Dial:  dial,
		TLS:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	return &http.Transport{
		DialContext:            dial,
		DialTLSContext:         secure.DialTLS,
		Protocols:              protocols,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
}
