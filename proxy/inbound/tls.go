package inbound

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// TLSFiles are the certificate, the key and the CAs of a listener. They are read again when
// they change, at most once in tlsPoll. Safe for concurrent use.
type TLSFiles struct {
	paths    [3]string // certificate, key, CAs of clients; the last may be ""
	report   func(error)
	readFile func(string) ([]byte, error) // os.ReadFile, but in tests
	used     atomic.Pointer[tlsContent]   // of the last files that fit together

	mu      sync.Mutex    // never held while a file is read: its disk may not answer
	polled  time.Time     // when the last poll began
	polling chan struct{} // closed when the poll that is under way ends; nil when none is

	// Only poll uses what follows, in one goroutine at a time.
	seen    [3]fs.FileInfo
	readAt  time.Time
	content [3][]byte // of used
	problem string    // of the last files that do not fit, as reported
}

// tlsContent is what files hold. It is not changed.
type tlsContent struct {
	config *tls.Config
	roots  map[string]bool // DER of the CAs in config
}

const (
	tlsPoll = time.Second

	// tlsPatience is how long after the begin of a poll handshakes wait for its end. Later they
	// go on with what was read before.
	tlsPatience = time.Second

	// tlsSlow is after what time it is reported that a poll has not ended.
	tlsSlow = 10 * time.Second

	// tlsSettle is how long a file may have been changed again without another time of
	// change: file systems count it in steps.
	tlsSettle = 2 * time.Second

	maxTLSFile = 1 << 20
)

// NewTLSFiles reads PEM files. clientCAFile is "" where clients are not asked for a
// certificate. Files that change to something that cannot be used are reported once, from
// a goroutine of its own, and what was read before stays in use. report may be nil.
func NewTLSFiles(certFile, keyFile, clientCAFile string, report func(error)) (*TLSFiles, error) {
	if report == nil {
		report = func(error) {}
	}
	f := &TLSFiles{paths: [3]string{certFile, keyFile, clientCAFile}, report: report, readFile: os.ReadFile}
	if err := f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// Config returns the configuration for Server.ServeTLS. Clients are asked for a certificate
// if there is a file of CAs, and need none; one that no CA has signed ends the handshake.
func (f *TLSFiles) Config() *tls.Config {
	c := f.newest().config.Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.newest().config, nil }
	return c
}

// Trusts reports whether one of the client's verified chains ends in a CA of now. A
// connection may be older than the removal of a CA.
func (f *TLSFiles) Trusts(state *tls.ConnectionState) bool {
	roots := f.newest().roots
	for _, chain := range state.VerifiedChains {
		if n := len(chain); n > 0 && roots[string(chain[n-1].Raw)] {
			return true
		}
	}
	return false
}

// newest returns what the files held at the last poll. When a poll is due it begins one. It
// waits for the end of a poll, but only until tlsPatience after its begin.
func (f *TLSFiles) newest() *tlsContent {
	now := time.Now()
	f.mu.Lock()
	if f.polling == nil && now.Sub(f.polled) >= tlsPoll {
		f.polled, f.polling = now, make(chan struct{})
		go f.poll(f.polling)
	}
	polling, patience := f.polling, tlsPatience-now.Sub(f.polled)
	f.mu.Unlock()
	if polling != nil && patience > 0 {
		select {
		case <-polling:
		case <-time.After(patience):
		}
	}
	return f.used.Load()
}

// poll reads the files again if they may have changed, and closes done.
func (f *TLSFiles) poll(done chan struct{}) {
	slow := time.AfterFunc(tlsSlow, func() {
		f.report(errors.New("reading the files for TLS takes long: their disk may not answer; " +
			"the files read before stay in use"))
	})
	if f.changed() {
		err := f.read()
		if err != nil && f.problem != err.Error() {
			f.report(fmt.Errorf("%w; the files read before stay in use", err))
		}
		f.problem = ""
		if err != nil {
			f.problem = err.Error()
		}
	}
	slow.Stop()
	f.mu.Lock()
	f.polling = nil
	f.mu.Unlock()
	close(done)
}

// changed reports whether a file is another one, or may have other content. A file
// behind a symbolic link is another one when the link changes, as ..data does in a volume of
// Kubernetes.
func (f *TLSFiles) changed() bool {
	for i, path := range f.paths {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		old := f.seen[i]
		if err != nil || old == nil || !os.SameFile(info, old) || info.Size() != old.Size() ||
			!info.ModTime().Equal(old.ModTime()) || f.readAt.Sub(info.ModTime()) < tlsSettle {
			return true
		}
	}
	return false
}

// read reads the files and puts them to use, if they fit together.
func (f *TLSFiles) read() error {
	var seen [3]fs.FileInfo
	var content [3][]byte
	at := time.Now()
	for i, path := range f.paths {
		if path == "" {
			continue
		}
		var err error
		if seen[i], content[i], err = f.readTLSFile(path); err != nil {
			return err
		}
	}
	f.seen, f.readAt = seen, at
	same := f.used.Load() != nil
	for i := range content {
		same = same && bytes.Equal(content[i], f.content[i])
	}
	if same {
		return nil
	}
	next, err := f.build(content)
	if err != nil {
		return err
	}
	f.content = content
	f.used.Store(next)
	return nil
}

func (f *TLSFiles) readTLSFile(path string) (fs.FileInfo, []byte, error) {
	info, err := os.Stat(path) // before reading: a later change is then seen
	if err != nil {
		return nil, nil, fmt.Errorf("reading a file for TLS: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxTLSFile {
		return nil, nil, fmt.Errorf("reading a file for TLS: %s is not a file of at most 1 MiB", path)
	}
	content, err := f.readFile(path)
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
func (f *TLSFiles) build(content [3][]byte) (*tlsContent, error) {
	pair, err := tls.X509KeyPair(content[0], content[1])
	if err != nil { // the text has nothing of the key
		return nil, fmt.Errorf("the certificate %s and the key %s cannot be used: %w", f.paths[0], f.paths[1], err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
	}
	if f.paths[2] == "" {
		return &tlsContent{config: config}, nil
	}
	roots, err := parseCAs(content[2])
	if err != nil {
		return nil, fmt.Errorf("the CAs of clients in %s cannot be used: %w", f.paths[2], err)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	config.ClientCAs = x509.NewCertPool()
	config.SessionTicketsDisabled = true
	known := map[string]bool{}
	for _, root := range roots {
		config.ClientCAs.AddCert(root)
		known[string(root.Raw)] = true
	}
	return &tlsContent{config, known}, nil
}
