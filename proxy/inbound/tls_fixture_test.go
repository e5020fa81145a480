package inbound

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"
)

// A testCA signs certificates.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T, name string) *testCA {
	t.Helper()
	ca := &testCA{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return ca
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (ca *testCA) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// issue returns the PEM of a certificate for 127.0.0.1 with a URI SAN, and of its key.
func (ca *testCA) issue(t *testing.T, serial int64, uri string) (cert, key []byte) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	private := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, private.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

// A tlsFixture is the files of a listener, and what was reported of them.
type tlsFixture struct {
	cert, key, ca string
	files         *TLSFiles
	reported      []string
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// passPoll has the next poll of the files be due.
func (f *tlsFixture) passPoll() {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	f.files.polled = time.Time{}
}

func newTLSFixture(t *testing.T, cert, key, ca []byte) *tlsFixture {
	t.Helper()
	dir := t.TempDir()
	f := &tlsFixture{cert: dir + "/tls.crt", key: dir + "/tls.key"}
	write(t, f.cert, cert)
	write(t, f.key, key)
	if ca != nil {
		f.ca = dir + "/ca.crt"
		write(t, f.ca, ca)
	}
	var err error
	f.files, err = NewTLSFiles(f.cert, f.key, f.ca, func(err error) { f.reported = append(f.reported, err.Error()) })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// serve serves the files' configuration, and returns the address. The answer names the TLS
// version and the URI SAN.
func (f *tlsFixture) serve(t *testing.T) string {
	t.Helper()
	return serveTLS(t, f.files.Config(), func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			t.Error("a request over TLS has no TLS field")
			return
		}
		uri := ""
		if len(r.TLS.VerifiedChains) > 0 && f.files.Trusts(r.TLS) {
			uri = r.TLS.VerifiedChains[0][0].URIs[0].String()
		}
		fmt.Fprintf(w, "%x %q %v", r.TLS.Version, uri, r.TLS.DidResume)
	})
}

func serveTLS(t *testing.T, config *tls.Config, handler http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(handler, NewConnLimiter(100, 1<<20, nil), nil)
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(l, config) }()
	t.Cleanup(func() {
		s.Drain(t.Context())
		<-done
	})
	return l.Addr().String()
}

// get makes a request on a connection of its own, and returns the answer with the serial
// number of the server's certificate.
func get(config *tls.Config, address string) (string, error) {
	if pairs := config.Certificates; len(pairs) > 0 { // Go's client sends none of a CA that it is not asked for
		config = config.Clone()
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pairs[0], nil }
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	res, err := transport.RoundTrip(&http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Scheme: "https", Host: address, Path: "/"},
		Header: http.Header{},
	})
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return fmt.Sprintf("%s by %d", text, res.TLS.PeerCertificates[0].SerialNumber), err
}
