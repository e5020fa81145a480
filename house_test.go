package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"ticketproxy/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A house is the sandbox, the program in front of it, and an app, on a network
// of their own.
type house struct {
	t        *testing.T
	network  *network
	sandbox  *sandbox.Sandbox
	dir      string
	environ  []string
	seeds    map[string]string
	output   *lockedBuffer // what the program printed and logged
	broken   *lossyWriter  // takes what the program logs, in place of output; may be nil
	app      *http.Client
	stopping context.CancelFunc
	stopped  chan error
}

// ports are where the house's APIs are reached through the program.
func ports() map[string]string {
	return map[string]string{"socialboards": "127.0.0.1:8080", "openticket": "127.0.0.1:8081", "ticketpark": "127.0.0.1:8082"}
}

// newHouse opens the sandbox. Everything of the house closes with the test.
func newHouse(t *testing.T, o sandbox.Options, more ...string) *house {
	t.Helper()
	h := &house{t: t, network: newNetwork(), sandbox: sandbox.New(o), dir: t.TempDir(), seeds: map[string]string{}, output: new(lockedBuffer)}
	h.environ = append([]string{
		"TICKETPROXY_UPSTREAMS=socialboards,openticket,ticketpark",
		"TICKETPROXY_STATE=file:" + filepath.Join(h.dir, "state"),
		"TICKETPROXY_LOG_LEVEL=debug",
	}, more...)
	for i, p := range h.sandbox.Providers() {
		at := fmt.Sprintf("127.0.0.1:%d", 9100+i)
		h.play(p, at)
		h.seeds[p.Name] = p.Seed()
		h.environ = append(h.environ, named(p.Name, settings(p, "http://"+at, h.seeds[p.Name]))...)
		h.environ = append(h.environ, named(p.Name, []string{"TICKETPROXY_LISTEN=" + ports()[p.Name]})...)
	}
	transport := &http.Transport{DialContext: h.network.dial, MaxIdleConnsPerHost: 1000}
	h.app = &http.Client{Transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	return h
}

// play serves a provider until the test ends.
func (h *house) play(p *sandbox.Provider, address string) {
	h.t.Helper()
	l, err := h.network.listen(h.t.Context(), "tcp", address)
	if err != nil {
		h.t.Fatal(err)
	}
	server := &http.Server{Handler: p}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l)
	}()
	h.t.Cleanup(func() {
		server.Close()
		<-done
	})
}

func (h *house) process() *process {
	return &process{
		environ: h.environ,
		stdin:   strings.NewReader(""),
		stdout:  h.output,
		stderr:  h.output,
		listen:  h.network.listen,
		dial:    h.network.dial,
	}
}

// serve starts the program and returns when it listens.
func (h *house) serve() {
	h.t.Helper()
	p := h.process()
	if h.broken != nil {
		p.stderr, p.output = h.broken, h.broken
	}
	c, err := p.configure()
	if err != nil {
		h.t.Fatal(err)
	}
	m, err := p.assemble(c, p.logger(c))
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.stopping, h.stopped = cancel, make(chan error, 1)
	listening := make(chan struct{})
	go func() {
		err := m.run(ctx, p, func([]net.Addr) { close(listening) })
		m.closeState()
		h.stopped <- err
	}()
	select {
	case <-listening:
	case err := <-h.stopped:
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { h.stop() })
}

// stop ends the program as SIGTERM does, and checks that it ends well.
func (h *house) stop() {
	h.t.Helper()
	if h.stopping == nil {
		return
	}
	h.stopping()
	h.stopping = nil
	if err := <-h.stopped; err != nil {
		h.t.Errorf("serve: %v", err)
	}
}

// ask sends a provider's sample request through the program.
func (h *house) ask(name string) (*http.Response, string, error) {
	req, err := samples()[name].request(context.Background(), "http://"+ports()[name])
	if err != nil {
		return nil, "", err
	}
	return h.send(req)
}

func (h *house) send(req *http.Request) (*http.Response, string, error) {
	res, err := h.app.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

// mustAnswer fails the test unless the provider answers 2xx through the program.
func (h *house) mustAnswer(name string) {
	h.t.Helper()
	res, body, err := h.ask(name)
	if err != nil {
		h.t.Fatalf("%s: %v", name, err)
	}
	if res.StatusCode/100 != 2 {
		h.t.Fatalf("%s answered %s: %s", name, res.Status, body)
	}
}

// admin asks the admin listener.
func (h *house) admin(path string) (int, string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://127.0.0.1:9090"+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	res, body, err := h.send(req)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, body
}

// A lockedBuffer is a bytes.Buffer for many goroutines.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// mustNotShow fails the test if text holds a secret, as it is or encoded.
func mustNotShow(t *testing.T, where, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if s == "" {
			continue
		}
		for form, encoded := range map[string]string{
			"plain":     s,
			"query":     url.QueryEscape(s),
			"path":      url.PathEscape(s),
			"base64":    strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(s)), "="),
			"base64url": strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(s)), "="),
			"json":      strings.Trim(fmt.Sprintf("%q", s), `"`),
		} {
			if strings.Contains(text, encoded) {
				t.Errorf("%s shows a secret (%s)", where, form)
			}
		}
	}
}
