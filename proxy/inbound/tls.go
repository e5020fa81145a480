package inbound

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// TLSFiles are the certificate, the key and the CAs of a listener. They are read again when
// they change, at most once in tlsPoll. Safe for concurrent use.
type TLSFiles struct {
	paths  [3]string   // certificate, key, CAs of clients; the last may be ""
	report func(error) // may be nil

	mu      sync.Mutex
	looked  time.Time
	seen    [3]fs.FileInfo
	content [3][]byte
	config  *tls.Config     // of the last files that fit
	roots   map[string]bool // DER of the CAs in config
	problem string          // of the last files that do not, as reported
}

const (
	tlsPoll = time.Second

	// tlsSettle is how long a file may have been changed again without another time of
	// change: file systems count it in steps.
	tlsSettle = 2 * time.Second

	maxTLSFile = 1 << 20
)

// NewTLSFiles reads PEM files. clientCAFile is "" where clients are not asked for a
// certificate. Files that change to something that cannot be used are reported once, from
// the goroutine of a handshake, and what was read before stays in use.
func NewTLSFiles(certFile, keyFile, clientCAFile string, report func(error)) (*TLSFiles, error) {
	f := &TLSFiles{paths: [3]string{certFile, keyFile, clientCAFile}, report: report}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.readLocked(); err != nil {
		return nil, err
	}
	return f, nil
}

// Config returns the configuration for Server.ServeTLS. Clients are asked for a certificate
// if there is a file of CAs, and need none; one that no CA has signed ends the handshake.
func (f *TLSFiles) Config() *tls.Config {
	c := f.current().Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.current(), nil }
	return c
}

// Trusts reports whether one of the client's verified chains ends in a CA of now. A
// connection may be older than the removal of a CA.
func (f *TLSFiles) Trusts(state *tls.ConnectionState) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pollLocked()
	for _, chain := range state.VerifiedChains {
		if n := len(chain); n > 0 && f.roots[string(chain[n-1].Raw)] {
			return true
		}
	}
	return false
}

func (f *TLSFiles) current() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pollLocked()
	return f.config
}

// pollLocked reads the files again if they may have changed. The caller holds f.mu.
func (f *TLSFiles) pollLocked() {
	now := time.Now()
	if now.Sub(f.looked) < tlsPoll {
		return
	}
	f.looked = now
	if !f.changedLocked(now) {
		return
	}
	err := f.readLocked()
	if err == nil {
		f.problem = ""
		return
	}
	if f.problem != err.Error() && f.report != nil {
		f.problem = err.Error()
		f.report(fmt.Errorf("%w; the files read before stay in use", err))
	}
}

// changedLocked reports whether a file is another one, or may have other content. A file
// behind a symbolic link is another one when the link changes, as ..data does in a volume of
// Kubernetes.
func (f *TLSFiles) changedLocked(now time.Time) bool {
	for i, path := range f.paths {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		old := f.seen[i]
		if err != nil || old == nil || !os.SameFile(info, old) || info.Size() != old.Size() ||
			!info.ModTime().Equal(old.ModTime()) || now.Sub(info.ModTime()) < tlsSettle {
			return true
		}
	}
	return false
}

// readLocked reads the files and puts them to use, if they fit together.
func (f *TLSFiles) readLocked() error {
	var seen [3]fs.FileInfo
	var content [3][]byte
	for i, path := range f.paths {
		if path == "" {
			continue
		}
		var err error
		if seen[i], content[i], err = readTLSFile(path); err != nil {
			return err
		}
	}
	f.seen = seen
	same := f.config != nil
	for i := range content {
		same = same && bytes.Equal(content[i], f.content[i])
	}
	if same {
		return nil
	}
	config, roots, err := f.build(content)
	if err != nil {
		return err
	}
	f.content, f.config, f.roots = content, config, roots
	return nil
}

func readTLSFile(path string) (fs.FileInfo, []byte, error) {
	info, err := os.Stat(path) // before reading: a later change is then seen
	if err != nil {
		return nil, nil, fmt.Errorf("reading a file for TLS: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxTLSFile {
		return nil, nil, fmt.Errorf("reading a file for TLS: %s is not a file of at most 1 MiB", path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("reading a file for TLS: %w", err)
	}
	return info, content, nil
}

// build makes a configuration of the files' content.
//
// Session tickets are off where clients prove themselves: a resumed session skips the
// check of the client's certificate, so a ticket could outlive its CA. A full handshake is
// once a connection, and connections are kept.
func (f *TLSFiles) build(content [3][]byte) (*tls.Config, map[string]bool, error) {
	pair, err := tls.X509KeyPair(content[0], content[1])
	if err != nil { // the text has nothing of the key
		return nil, nil, fmt.Errorf("the certificate %s and the key %s cannot be used: %w", f.paths[0], f.paths[1], err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
	}
	if f.paths[2] == "" {
		return config, nil, nil
	}
	roots, err := parseCAs(content[2])
	if err != nil {
		return nil, nil, fmt.Errorf("the CAs of clients in %s cannot be used: %w", f.paths[2], err)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	config.ClientCAs = x509.NewCertPool()
	config.SessionTicketsDisabled = true
	known := map[string]bool{}
	for _, root := range roots {
		config.ClientCAs.AddCert(root)
		known[string(root.Raw)] = true
	}
	return config, known, nil
}
