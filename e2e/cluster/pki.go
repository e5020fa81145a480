package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The files of the directory pki.
const (
	caCertificate     = "ca.pem"
	caKey             = "ca-key.pem"
	serverCertificate = "server.pem"
	serverKey         = "server-key.pem"
	adminCertificate  = "admin.pem"
	adminKey          = "admin-key.pem"
	serviceAccountKey = "serviceaccount-key.pem"
)

// makePKI makes the CA, the certificates and the keys in dir, unless dir exists. A kill
// leaves either all files or no dir.
func makePKI(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	made := dir + ".new"
	if err := os.RemoveAll(made); err != nil {
		return err
	}
	if err := os.Mkdir(made, 0o700); err != nil {
		return err
	}
	ca, err := newKey(filepath.Join(made, caKey))
	if err != nil {
		return err
	}
	caTemplate := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "cluster"},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	if err := sign(filepath.Join(made, caCertificate), caTemplate, ca, caTemplate, ca); err != nil {
		return err
	}
	for _, leaf := range []struct {
		key, certificate string
		template         *x509.Certificate
	}{
		{serverKey, serverCertificate, &x509.Certificate{
			Subject:     pkix.Name{CommonName: "kube-apiserver"},
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			DNSNames:    []string{"localhost"},
		}},
		{adminKey, adminCertificate, &x509.Certificate{
			Subject:     pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}},
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}},
	} {
		key, err := newKey(filepath.Join(made, leaf.key))
		if err != nil {
			return err
		}
		if err := sign(filepath.Join(made, leaf.certificate), leaf.template, key, caTemplate, ca); err != nil {
			return err
		}
	}
	if _, err := newKey(filepath.Join(made, serviceAccountKey)); err != nil {
		return err
	}
	return os.Rename(made, dir)
}

// newKey makes a key and writes it to path, in the format that kube-apiserver reads both
// as the key that signs tokens and as the one that verifies them.
func newKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writePEM(path, "EC PRIVATE KEY", der)
}

// sign writes to path the certificate of key that the issuer signs. Its serial number and
// its validity are set in template.
func sign(path string, template *x509.Certificate, key *ecdsa.PrivateKey,
	issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour) // a test may set a clock back
	template.NotAfter = time.Now().AddDate(10, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return err
	}
	return writePEM(path, "CERTIFICATE", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
