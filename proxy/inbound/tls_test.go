package inbound

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	ca, stranger := newCA(t, "ours"), newCA(t, "stranger's")
	cert, key := ca.issue(t, 7, "")
	f := newTLSFixture(t, cert, key, ca.pem())
	address := f.serve(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	client := func(ca *testCA, uri string) []tls.Certificate {
		pair, err := tls.X509KeyPair(ca.issue(t, 9, uri))
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{pair}
	}
	const uri = "spiffe://example.org/ns/erp"
	cache := tls.NewLRUClientSessionCache(4)
	for name, test := range map[string]struct {
		config *tls.Config
		want   string
	}{
		"without a certificate":         {&tls.Config{}, `304 "" false by 7`},
		"with a certificate":            {&tls.Config{Certificates: client(ca, uri)}, `304 "` + uri + `" false by 7`},
		"TLS 1.2":                       {&tls.Config{MaxVersion: tls.VersionTLS12}, `303 "" false by 7`},
		"TLS 1.1":                       {&tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, "protocol version"},
		"a stranger's certificate":      {&tls.Config{Certificates: client(stranger, uri)}, "tls: "},
		"a client that only speaks h2":  {&tls.Config{NextProtos: []string{"h2"}}, "no application protocol"},
		"a second time, with a session": {&tls.Config{Certificates: client(ca, uri), ClientSessionCache: cache}, `304 "` + uri + `" false by 7`},
	} {
		test.config.RootCAs = roots
		for range 2 {
			got, err := get(test.config, address)
			if text := fmt.Sprint(got, err); !strings.Contains(text, test.want) {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
}

// TestTLSFilesChange tests that a listener follows its files, and keeps what works.
func TestTLSFilesChange(t *testing.T) {
	t.Parallel()
	ca, next := newCA(t, "ours"), newCA(t, "next")
	cert, key := ca.issue(t, 1, "")
	f := newTLSFixture(t, cert, key, ca.pem())
	address := f.serve(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	pair, err := tls.X509KeyPair(next.issue(t, 9, "spiffe://example.org/next"))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(step, want string, certificates ...tls.Certificate) {
		t.Helper()
		f.passPoll()
		got, err := get(&tls.Config{RootCAs: roots, Certificates: certificates}, address)
		if text := fmt.Sprint(got, err); !strings.Contains(text, want) {
			t.Errorf("%s: %s, want %s", step, text, want)
		}
	}
	ask("at first", "by 1")
	ask("a client of the next CA", "tls: ", pair)
	cert, key = ca.issue(t, 2, "")
	write(t, f.cert, cert)
	ask("a certificate without its key", "by 1")
	ask("and again", "by 1")
	if len(f.reported) != 1 || !strings.Contains(f.reported[0], f.cert) || !strings.Contains(f.reported[0], "stay in use") {
		t.Errorf("reported: %q", f.reported)
	}
	write(t, f.key, key)
	ask("with its key", "by 2")
	os.Remove(f.ca)
	ask("without the file of CAs", "by 2")
	write(t, f.ca, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	ask("with a broken CA", "by 2")
	write(t, f.ca, next.pem())
	ask("with the next CA", `"spiffe://example.org/next" false by 2`, pair)
	if len(f.reported) != 3 {
		t.Errorf("reported: %q", f.reported)
	}
}

// TestTLSFilesSwap tests files behind ..data, which the kubelet replaces by a rename.
func TestTLSFilesSwap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := newCA(t, "ours")
	version := func(serial int64) string {
		name := fmt.Sprintf("..v%d", serial)
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		cert, key := ca.issue(t, serial, "")
		write(t, filepath.Join(dir, name, "tls.crt"), cert)
		write(t, filepath.Join(dir, name, "tls.key"), key)
		old := time.Now().Add(-time.Hour) // so that the time of change tells nothing
		os.Chtimes(filepath.Join(dir, name, "tls.crt"), old, old)
		os.Chtimes(filepath.Join(dir, name, "tls.key"), old, old)
		return name
	}
	link := func(target string) {
		if err := os.Symlink(target, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	link(version(1))
	files, err := NewTLSFiles(filepath.Join(dir, "..data", "tls.crt"), filepath.Join(dir, "..data", "tls.key"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &tlsFixture{files: files}
	serial := func() int64 {
		f.passPoll()
		c, err := x509.ParseCertificate(files.newest().config.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return c.SerialNumber.Int64()
	}
	first := files.newest()
	if serial() != 1 || files.newest() != first {
		t.Error("unchanged files were put to use again")
	}
	link(version(2))
	if serial() != 2 {
		t.Error("the swap was not seen")
	}
}

// TestTrustsOnlyCAsOfNow tests that a connection does not outlive its CA.
func TestTrustsOnlyCAsOfNow(t *testing.T) {
	t.Parallel()
	ca, next := newCA(t, "ours"), newCA(t, "next")
	cert, key := ca.issue(t, 1, "")
	f := newTLSFixture(t, cert, key, ca.pem())
	state := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{ca.cert}}}
	if !f.files.Trusts(state) || f.files.Trusts(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{ca.cert}}) {
		t.Error("a verified chain is not told from another")
	}
	write(t, f.ca, next.pem())
	f.passPoll()
	if f.files.Trusts(state) {
		t.Error("a chain of a removed CA is trusted")
	}
}

func TestTLSFilesMistakes(t *testing.T) {
	t.Parallel()
	ca := newCA(t, "ours")
	cert, key := ca.issue(t, 1, "")
	other, _ := ca.issue(t, 2, "")
	for name, test := range map[string]struct {
		cert, key, ca []byte
		want          string
	}{
		"another certificate's key": {other, key, nil, "private key does not match public key"},
		"no certificate":            {[]byte("hello"), key, nil, "failed to find any PEM data"},
		"no CA":                     {cert, key, key, "it has no PEM block CERTIFICATE"},
		"too long":                  {cert, key, make([]byte, maxTLSFile+1), "at most 1 MiB"},
	} {
		dir := t.TempDir()
		write(t, dir+"/c", test.cert)
		write(t, dir+"/k", test.key)
		caFile := ""
		if test.ca != nil {
			caFile = dir + "/a"
			write(t, caFile, test.ca)
		}
		if _, err := NewTLSFiles(dir+"/c", dir+"/k", caFile, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewTLSFiles("/none/c", "/none/k", "", nil); err == nil || !strings.Contains(err.Error(), "/none/c") {
		t.Errorf("missing: %v", err)
	}
}

// TestCleartextAtTLSPort tests that an app with http:// in place of https:// is told so.
func TestCleartextAtTLSPort(t *testing.T) {
	t.Parallel()
	cert, key := newCA(t, "ours").issue(t, 1, "")
	address := newTLSFixture(t, cert, key, nil).serve(t)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode != 400 || res.Header.Get(ErrorHeader) != "bad_request" || !strings.Contains(string(text), "https://") {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}

// TestGuardKnowsTLS tests that a page of the listener's own origin is one at https.
func TestGuardKnowsTLS(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]bool{"https://localhost:8443": true, "http://localhost:8443": false} {
		r := &http.Request{
			Method: "GET",
			Host:   "localhost:8443",
			URL:    &url.URL{Path: "/"},
			Header: http.Header{"Origin": {origin}},
			TLS:    &tls.ConnectionState{},
		}
		if got := new(Guard).Refuse(r) == nil; got != want {
			t.Errorf("%s may pass: %v", origin, got)
		}
	}
}
