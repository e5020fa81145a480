package e2e

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
	"path/filepath"
	"testing"
	"time"
)

// A pki is an authority, and the files of a server that it has certified.
type pki struct {
	cert, key, ca string // paths
	roots         *x509.CertPool
	authority     *x509.Certificate
	signer        *ecdsa.PrivateKey
}

func newPKI(t *testing.T, address net.IP) *pki {
	t.Helper()
	dir := t.TempDir()
	p := &pki{
		cert:  filepath.Join(dir, "tls.crt"),
		key:   filepath.Join(dir, "tls.key"),
		ca:    filepath.Join(dir, "ca.crt"),
		roots: x509.NewCertPool(),
	}
	p.authority, p.signer = p.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true})
	p.roots.AddCert(p.authority)
	cert, key := p.sign(t, &x509.Certificate{
		IPAddresses: []net.IP{address},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, p.ca, "CERTIFICATE", p.authority.Raw)
	writePEM(t, p.cert, "CERTIFICATE", cert.Raw)
	writePEM(t, p.key, "PRIVATE KEY", private)
	return p
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sign signs a certificate, or has it sign itself where there is no authority yet.
func (p *pki) sign(t *testing.T, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := p.authority, p.signer
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
func (p *pki) client(t *testing.T, uri string) tls.Certificate {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := p.sign(t, &x509.Certificate{URIs: []*url.URL{u}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}
