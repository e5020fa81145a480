// Package egress makes outgoing TLS connections, directly or through the proxy that
// HTTPS_PROXY names. An error that the proxy causes says so.
//
// http.Transport supports proxies too, but gives no access to the bytes of a proxied
// TLS connection, and its errors contain text of the proxy's answer.
package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/proxy"
)

const (
	handshakeTimeout = 10 * time.Second
	tunnelTimeout    = time.Minute // the proxy connects to the target meanwhile
	maxHeader        = 64 << 10    // bytes of the proxy's answer to CONNECT
)

// A DialFunc opens connections, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// A Dialer makes TLS connections for HTTP/1.1. Its fields must be set before first use.
type Dialer struct {
	Proxy func(*http.Request) (*url.URL, error) // as in http.Transport; nil uses no proxy
	Dial  DialFunc
	TLS   *tls.Config // without a ServerName; also used for an https:// proxy
}

// DialTLS is for http.Transport.DialTLSContext. An error that the proxy causes is an
// *Error.
func (d *Dialer) DialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return d.handshake(ctx, conn, address)
}

func (d *Dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if d.Proxy == nil {
		return d.Dial(ctx, network, address)
	}
	proxyURL, err := d.Proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: address}})
	if err != nil {
		return nil, err
	}
	if proxyURL == nil {
		return d.Dial(ctx, network, address)
	}
	conn, err := d.tunnel(ctx, proxyURL, network, address)
	if err != nil {
		var status statusError
		errors.As(err, &status)
		return nil, &Error{Proxy: hostPort(proxyURL), Status: int(status), Err: err}
	}
	return conn, nil
}

// tunnel connects to an address through a proxy.
func (d *Dialer) tunnel(ctx context.Context, proxyURL *url.URL, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, tunnelTimeout)
	defer cancel()
	if proxyURL.Scheme == "socks5" || proxyURL.Scheme == "socks5h" {
		return d.socks(ctx, proxyURL, network, address)
	}
	conn, err := d.Dial(ctx, network, hostPort(proxyURL))
	if err != nil {
		return nil, err
	}
	if proxyURL.Scheme == "https" {
		if conn, err = d.handshake(ctx, conn, hostPort(proxyURL)); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err = connect(conn, proxyURL.User, address)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// socks connects to an address through a SOCKS proxy (RFC 1928), which resolves the name. It returns
// the connection that d.Dial made: x/net's is another one around it, and hides what it is.
func (d *Dialer) socks(ctx context.Context, proxyURL *url.URL, network, address string) (net.Conn, error) {
	var auth *proxy.Auth
	if proxyURL.User != nil {
		auth = &proxy.Auth{User: proxyURL.User.Username()}
		auth.Password, _ = proxyURL.User.Password()
	}
	var conn net.Conn
	dial := DialFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		var err error
		conn, err = d.Dial(ctx, network, address)
		return conn, err
	})
	socks, err := proxy.SOCKS5(network, hostPort(proxyURL), auth, dial)
	if err != nil {
		return nil, err
	}
	if _, err := socks.(proxy.ContextDialer).DialContext(ctx, network, address); err != nil {
		return nil, err
	}
	return conn, nil
}

// DialContext implements proxy.ContextDialer.
func (f DialFunc) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}

// Dial implements proxy.Dialer.
func (f DialFunc) Dial(network, address string) (net.Conn, error) {
	return f(context.Background(), network, address)
}

// connect asks a proxy for a tunnel (RFC 9110, section 9.3.6). The buffered reader loses
// no bytes of the tunnel, because a TLS server does not send first.
func connect(conn net.Conn, user *url.Userinfo, address string) error {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		req.Header.Set("Proxy-Authorization", "Basic "+credentials)
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxHeader)), req)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return statusError(res.StatusCode)
	}
	return nil
}

// handshake returns a TLS connection over conn. It closes conn when that fails.
func (d *Dialer) handshake(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	config := d.TLS.Clone()
	config.NextProtos = []string{"http/1.1"}
	config.ServerName, _, _ = net.SplitHostPort(address)
	handshakeCtx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(handshakeCtx); err != nil {
		conn.Close()
		if handshakeCtx.Err() != nil && ctx.Err() == nil {
			return nil, errHandshake
		}
		return nil, err
	}
	return secure, nil
}

// hostPort returns the address of a proxy.
func hostPort(proxyURL *url.URL) string {
	port := proxyURL.Port()
	if port == "" {
		port = map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[proxyURL.Scheme]
	}
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(proxyURL.Hostname(), port)
}
