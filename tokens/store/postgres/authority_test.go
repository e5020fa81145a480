package postgres

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	path        string // of its certificate
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{path: filepath.Join(t.TempDir(), "ca.crt")}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "authority"},
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	a.certificate, a.key = sign(t, template, template, nil, a.path, filepath.Join(t.TempDir(), "ca.key"))
	return a
}

// issue writes a certificate and its key, for a user, or for the names of a server.
func (a authority) issue(t *testing.T, certificate, key, user string, names ...string) {
	t.Helper()
	sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: user},
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     names,
	}, a.certificate, a.key, certificate, key)
}

// sign signs a certificate with the parent's key, or with its own if that is nil, and writes
// both.
func sign(t *testing.T, template, parent *x509.Certificate, by crypto.Signer, certificate, key string) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by = own
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, own.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signed, own
}
