package command

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

	"ticketproxy/config"
	"ticketproxy/process"
	"ticketproxy/sandbox"
	"ticketproxy/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fixture is the sandbox, the program in front of it, and an app, on a network in memory.
type fixture struct {
	t         *testing.T
	network   *network
	sandbox   *sandbox.Sandbox
	dir       string
	environ   []string
	seeds     map[string]string
	output    *lockedBuffer        // the program's output and log
	brokenLog *process.LossyWriter // gets the log instead of output; may be nil
	app       *http.Client
	stopping  context.CancelFunc
	stopped   chan error
}

// ports returns the program's address for each of the fixture's APIs.
func ports() map[string]string {
	return map[string]string{"socialboards": "127.0.0.1:8080", "openticket": "127.0.0.1:8081", "ticketpark": "127.0.0.1:8082"}
}

// newFixture starts the sandbox. Everything in the fixture ends with the test.
func newFixture(t *testing.T, o sandbox.Options, more ...string) *fixture {
	t.Helper()
	f := &fixture{t: t, network: newNetwork(), sandbox: sandbox.New(o), dir: t.TempDir(), seeds: map[string]string{}, output: new(lockedBuffer)}
	f.environ = append([]string{
		"TICKETPROXY_UPSTREAMS=socialboards,openticket,ticketpark",
		"TICKETPROXY_STATE=file:" + filepath.Join(f.dir, "state"),
		"TICKETPROXY_LOG_LEVEL=debug",
	}, more...)
	for i, p := range f.sandbox.Providers() {
		at := fmt.Sprintf("127.0.0.1:%d", 9100+i)
		f.serveProvider(p, at)
		f.seeds[p.Name] = p.Seed()
		f.environ = append(f.environ, named(p.Name, settings(p, "http://"+at, f.seeds[p.Name]))...)
		f.environ = append(f.environ, named(p.Name, []string{"TICKETPROXY_LISTEN=" + ports()[p.Name]})...)
	}
	transport := &http.Transport{DialContext: f.network.dial, MaxIdleConnsPerHost: 1000}
	f.app = &http.Client{Transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	return f
}

// serveProvider serves a provider until the test ends.
func (f *fixture) serveProvider(p *sandbox.Provider, address string) {
	f.t.Helper()
	l, err := f.network.listen(f.t.Context(), "tcp", address)
	if err != nil {
		f.t.Fatal(err)
	}
	server := &http.Server{Handler: p}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l)
	}()
	f.t.Cleanup(func() {
		server.Close()
		<-done
	})
}

func (f *fixture) env() *Env {
	return &Env{
		Environ: f.environ,
		Stdin:   strings.NewReader(""),
		Stdout:  f.output,
		Stderr:  f.output,
		Network: server.Network{Listen: f.network.listen, Dial: f.network.dial},
	}
}

// serve starts the program and returns when it listens.
func (f *fixture) serve() {
	f.t.Helper()
	env := f.env()
	if f.brokenLog != nil {
		env.Stderr, env.LogOutput = f.brokenLog, f.brokenLog
	}
	files, err := config.Open(env.environment())
	if err != nil {
		f.t.Fatal(err)
	}
	program, err := env.server(files, new(process.Notifier))
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.stopping, f.stopped = cancel, make(chan error, 1)
	listening := make(chan struct{})
	go func() {
		f.stopped <- program.Run(ctx, func([]net.Addr) { close(listening) })
	}()
	select {
	case <-listening:
	case err := <-f.stopped:
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { f.stop() })
}

// stop ends the program like SIGTERM, and checks that it returns no error.
func (f *fixture) stop() {
	f.t.Helper()
	if f.stopping == nil {
		return
	}
	f.stopping()
	f.stopping = nil
	if err := <-f.stopped; err != nil {
		f.t.Errorf("serve: %v", err)
	}
}

// ask sends a provider's sample request through the program.
func (f *fixture) ask(name string) (*http.Response, string, error) {
	req, err := samples()[name].request(context.Background(), "http://"+ports()[name])
	if err != nil {
		return nil, "", err
	}
	return f.send(req)
}

func (f *fixture) send(req *http.Request) (*http.Response, string, error) {
	res, err := f.app.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

// mustAnswer fails the test unless the provider answers 2xx through the program.
func (f *fixture) mustAnswer(name string) {
	f.t.Helper()
	res, body, err := f.ask(name)
	if err != nil {
		f.t.Fatalf("%s: %v", name, err)
	}
	if res.StatusCode/100 != 2 {
		f.t.Fatalf("%s answered %s: %s", name, res.Status, body)
	}
}

// admin asks the admin listener.
func (f *fixture) admin(path string) (int, string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://127.0.0.1:9090"+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	res, body, err := f.send(req)
	if err != nil {
		f.t.Fatal(err)
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

// mustNotShow fails the test if text contains a secret, plain or encoded.
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
