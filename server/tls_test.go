package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"testing"
	"time"
)

const gatewayTLS = "192.0.2.1:8443"

// An authority signs certificates for servers at gatewayTLS and for clients.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = a.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true})
	return a
}

// sign signs a certificate, or has it sign itself where there is no authority yet.
func (a *authority) sign(t *testing.T, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// client returns a client's certificate with a URI SAN.
func (a *authority) client(t *testing.T, uri string) tls.Certificate {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := a.sign(t, &x509.Certificate{URIs: []*url.URL{u}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// server writes the files of a server, and returns the variables that name them.
func (a *authority) server(t *testing.T) []string {
	t.Helper()
	cert, key := a.sign(t, &x509.Certificate{
		IPAddresses: []net.IP{net.ParseIP("192.0.2.1")},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var vars []string
	for _, file := range []struct {
		variable, kind string
		der            []byte
	}{
		{"TLS_CERT_FILE", "CERTIFICATE", cert.Raw},
		{"TLS_KEY_FILE", "PRIVATE KEY", private},
		{"TLS_CLIENT_CA_FILE", "CERTIFICATE", a.cert.Raw},
	} {
		path := t.TempDir() + "/" + file.variable
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.der}), 0o600); err != nil {
			t.Fatal(err)
		}
		vars = append(vars, "TICKETPROXY_"+file.variable+"="+path)
	}
	return vars
}

// TestCertificates tests that a client's certificate proves a caller at a listener off
// loopback, which speaks TLS, and that loopback stays plain HTTP.
func TestCertificates(t *testing.T) {
	const text = `
callers:
  erp:  {certificate: "spiffe://example.org/ns/erp/**", may: [{upstream: shop}]}
  shop: {keys: [KEY(shop)], may: [{upstream: park}]}
`
	withGatewayFiles(t, text, func(t *testing.T) (*authority, []string) {
		a := newAuthority(t)
		return a, append(a.server(t), "TICKETPROXY_SHOP_LISTEN="+gatewayTLS)
	}, func(g *gateway, a *authority) {
		roots := x509.NewCertPool()
		roots.AddCert(a.cert)
		g.tls.RootCAs = roots
		as := func(c *tls.Certificate) {
			g.app.CloseIdleConnections()
			g.tls.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if c == nil {
					return &tls.Certificate{}, nil
				}
				return c, nil
			}
		}
		const shop = "https://" + gatewayTLS + "/shop/a"
		erp, stranger := a.client(t, "spiffe://example.org/ns/erp/sa/x"), a.client(t, "spiffe://example.org/ns/erpx")
		as(nil)
		g.expect("", "GET", shop, 401, "unauthenticated")
		g.expect("shop", "GET", shop, 403, "forbidden")
		as(&stranger)
		g.expect("", "GET", shop, 401, "unauthenticated")
		g.expect("shop", "GET", shop, 403, "forbidden")
		as(&erp)
		g.expect("", "GET", shop, 200, "")
		g.expect("shop", "GET", shop, 200, "") // beside a certificate, Authorization is the app's own
		g.expect("shop", "GET", "/park/a", 200, "")
		g.expect("", "GET", "/park/a", 401, "unauthenticated")
		foreign := newAuthority(t).client(t, "spiffe://example.org/ns/erp/sa/x")
		as(&foreign)
		if res, err := g.app.Get(shop); err == nil {
			res.Body.Close()
			t.Errorf("a certificate of another authority: %d", res.StatusCode)
		}
	})
}
