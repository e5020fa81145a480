package jwks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"ticketproxy/egress"
	"ticketproxy/loopback"
)

// A Config says where an issuer's keys are.
type Config struct {
	Issuer string // as its tokens have it
	CAFile string // PEM bundle that is trusted besides the system's; read for each fetch
	// Kubernetes is set for the issuer of this pod's cluster. The API server is asked first,
	// and then the issuer, as every other issuer is.
	Kubernetes *Kubernetes

	Proxy  loopback.ProxyFunc // as in http.Transport; nil uses no proxy
	Dial   loopback.DialFunc  // nil dials directly
	Report func(error)        // gets the error of a fetch that fails otherwise than the one before; may be nil
}

// A Kubernetes is how a pod reaches its API server. The files are read for each fetch.
type Kubernetes struct {
	Server    string // https://host:port
	TokenFile string // of the pod's ServiceAccount; sent to Server alone
	CAFile    string // the only CAs trusted for Server
}

// check refuses an issuer whose keys could come from somebody else.
func (c Config) check() error {
	u, err := url.Parse(c.Issuer)
	switch {
	case c.Kubernetes != nil:
		return nil // it may be no URL; then only the API server is asked
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("the issuer %q is not a URL with a host and a path alone", c.Issuer)
	case !safe(u):
		return fmt.Errorf("the issuer %q is not https, and not on loopback", c.Issuer)
	}
	return nil
}

// safe reports whether nobody on the way can change what a URL has.
func safe(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && loopback.Is(u.Hostname())
}

// transport returns how requests go out. A fetch is rare, so a connection is not kept.
func (c Config) transport(roots *x509.CertPool) *http.Transport {
	dial := c.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	dial = loopback.Dial(dial)
	dialer := &egress.Dialer{
		Proxy: loopback.Proxy(c.Proxy),
		Dial:  egress.DialFunc(dial),
		TLS:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	return &http.Transport{
		DialContext:            dial,
		DialTLSContext:         dialer.DialTLS,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// issuerTransport trusts the system's CAs and those of CAFile.
func (c Config) issuerTransport() (*http.Transport, error) {
	if c.CAFile == "" {
		return c.transport(nil), nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if err := addCAs(roots, c.CAFile); err != nil {
		return nil, err
	}
	return c.transport(roots), nil
}

func addCAs(roots *x509.CertPool, path string) error {
	data, err := readFile(path)
	if err != nil {
		return fmt.Errorf("reading CAs: %w", err)
	}
	if !roots.AppendCertsFromPEM(data) {
		return fmt.Errorf("reading CAs: %s has no certificate in PEM", path)
	}
	return nil
}

// maxFile bounds a file of CAs or of a token.
const maxFile = 4 << 20

// readFile reads a regular file. Any other kind, such as a pipe, could wait without end.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is not a file of at most 4 MiB", path)
	}
	return os.ReadFile(path)
}

// clusterKeys asks the API server. It lets every ServiceAccount read its keys, by the
// ClusterRole system:service-account-issuer-discovery.
func (c Config) clusterKeys(ctx context.Context) (*Set, error) {
	k := c.Kubernetes
	roots := x509.NewCertPool()
	if err := addCAs(roots, k.CAFile); err != nil {
		return nil, err
	}
	token, err := readFile(k.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("reading the pod's token: %w", err)
	}
	u, err := url.Parse(k.Server)
	if err != nil || u.Scheme != "https" {
		return nil, errors.New("the API server has no https:// address")
	}
	u.Path = "/openid/v1/jwks"
	data, err := get(ctx, c.transport(roots), u, strings.TrimSpace(string(token)))
	if err != nil {
		return nil, err
	}
	return parseSet(data)
}
