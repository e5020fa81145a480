package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"ticketproxy/config"
	"ticketproxy/process"
	"ticketproxy/proxy/inbound/authn"
)

const (
	gatewayApps   = "127.0.0.1:8080"
	gatewayTokens = "127.0.0.1:8084"
	gatewayAPI    = "127.0.0.1:7001"
	gatewayIssuer = "127.0.0.1:7002"
)

// A gateway is a server that knows its callers, with an API and an issuer, in virtual time. It
// has the upstreams park and shop, at /park and /shop of one listener.
type gateway struct {
	*Server
	t       *testing.T
	network *memoryNetwork
	log     *observer.ObservedLogs
	file    string // CALLERS_FILE
	writes  int    // of it
	keys    map[string]string
	digests map[string]string
	app     *http.Client
	tls     *tls.Config
	hangup  chan struct{}
	stdout  *faultyWriter
	end     func() // ends the server, and returns when it has ended

	mu  sync.Mutex // guards keys, too
	api []string   // requests that came to it
}

// A faultyWriter fails while it is broken.
type faultyWriter struct {
	mu     sync.Mutex
	broken bool
	bytes.Buffer
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return 0, io.ErrShortWrite
	}
	return w.Buffer.Write(p)
}

func (w *faultyWriter) set(broken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = broken
}

// lines returns the lines of the audit log, as far as they are written.
func (w *faultyWriter) lines(t *testing.T) []map[string]any {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	return auditLines(t, w.Bytes())
}

func auditLines(t *testing.T, text []byte) (all []map[string]any) {
	t.Helper()
	for d := json.NewDecoder(bytes.NewReader(text)); d.More(); {
		line := map[string]any{}
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	return all
}

// withGateway runs a test with a gateway. In the text of CALLERS_FILE, KEY(name) is the digest
// of a key of that name. More are variables, as NAME=value.
func withGateway(t *testing.T, text string, more []string, test func(g *gateway)) {
	t.Helper()
	none := func(*testing.T) (*authority, []string) { return nil, more }
	withGatewayFiles(t, text, none, func(g *gateway, _ *authority) { test(g) })
}

// withGatewayFiles is withGateway with variables that setUp returns, which is called in virtual
// time.
func withGatewayFiles(t *testing.T, text string, setUp func(*testing.T) (*authority, []string), test func(*gateway, *authority)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{
			t:       t,
			network: newMemoryNetwork(),
			file:    t.TempDir() + "/callers.yaml",
			keys:    map[string]string{},
			digests: map[string]string{},
			tls:     &tls.Config{},
			hangup:  make(chan struct{}),
			stdout:  &faultyWriter{},
		}
		g.write(text)
		a, more := setUp(t)
		g.start(more)
		test(g, a)
		g.end()
	})
}

func (g *gateway) start(more []string) {
	g.t.Helper()
	vars := []string{
		"TICKETPROXY_STATE=memory:", "TICKETPROXY_UPSTREAMS=park,shop", "TICKETPROXY_CALLERS_FILE=" + g.file,
		"TICKETPROXY_ADMIN_LISTEN=127.0.0.1:9090", "TICKETPROXY_AUDIT_LOG=stdout", "TICKETPROXY_DRAIN_TIMEOUT=1s",
		"TICKETPROXY_PARK_LISTEN=" + gatewayApps, "TICKETPROXY_SHOP_LISTEN=" + gatewayApps,
		"TICKETPROXY_PARK_PREFIX=/park", "TICKETPROXY_SHOP_PREFIX=/shop",
	}
	for _, prefix := range []string{"TICKETPROXY_PARK_", "TICKETPROXY_SHOP_"} {
		vars = append(vars, prefix+"PROVIDER=generic", prefix+"CLIENT_ID=x", prefix+"CLIENT_SECRET=y",
			prefix+"GRANT=client_credentials", prefix+"UPSTREAM_URL=http://"+gatewayAPI,
			prefix+"TOKEN_URL=http://"+gatewayIssuer+"/token")
	}
	files, err := config.Open(config.Environment{Vars: append(vars, more...)})
	if err != nil {
		g.t.Fatal(err)
	}
	core, logs := observer.New(zapcore.InfoLevel)
	g.log = logs
	g.Server, err = New(files.Config(), Options{
		Log:     zap.New(core),
		Stdout:  g.stdout,
		Network: Network{Listen: g.network.listen, Dial: g.network.dial},
		Limits:  process.Limits{Files: 1000, Memory: 1 << 30},
		Signals: process.Signals{Hangup: g.hangup},
		Reload:  files.Reread,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	stopAPI, stopIssuer := g.serve(gatewayAPI, g.answerAPI), g.serve(gatewayIssuer, answerIssuer)
	transport := &http.Transport{DialContext: g.network.dial, TLSClientConfig: g.tls}
	g.app = &http.Client{Transport: transport}
	ctx, cancel := context.WithCancel(g.t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- g.Run(ctx, func([]net.Addr) { close(ready) }) }()
	<-ready
	synctest.Wait() // for the first tokens
	g.end = sync.OnceFunc(func() {
		cancel()
		transport.CloseIdleConnections()
		if err := <-ended; err != nil {
			g.t.Error(err)
		}
		synctest.Wait() // for what reads CALLERS_FILE, which nothing else waits for
		for _, l := range g.apps {
			for _, tr := range l.transports {
				tr.CloseIdleConnections()
			}
		}
		stopAPI()
		stopIssuer()
		g.noKeys("log", fmt.Sprint(g.log.All()))
		g.noKeys("audit log", g.stdout.String())
	})
}

// serve serves a handler, and returns what ends it.
func (g *gateway) serve(address string, handler http.HandlerFunc) (stop func()) {
	g.t.Helper()
	l, err := g.network.listen(g.t.Context(), "tcp", address)
	if err != nil {
		g.t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		server.Serve(l)
		close(done)
	}()
	return func() {
		server.Close()
		<-done
	}
}

func (g *gateway) answerAPI(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	for _, field := range []string{"Authorization", "Proxy-Authorization"} {
		if v := r.Header.Get(field); v != "" && v != "Bearer access-token" {
			g.t.Errorf("the API got %s: %s", field, v)
		}
	}
	g.mu.Lock()
	g.api = append(g.api, r.Method+" "+r.URL.EscapedPath())
	g.mu.Unlock()
	switch r.URL.Path {
	case "/slow":
		time.Sleep(10 * time.Second)
	case "/socket":
		c, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			g.t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(c, buffered)
		return
	case "/busy":
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	io.WriteString(w, "hello")
}

// answerIssuer reads the request first. A server that answers without that closes the
// connection under the client's write, and the client may lose the answer.
func answerIssuer(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"access_token":"access-token","token_type":"Bearer","expires_in":3600}`)
}

// passed returns how many requests came to the API.
func (g *gateway) passed() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.api)
}

// write writes CALLERS_FILE, with another time of change than before.
func (g *gateway) write(text string) {
	g.t.Helper()
	for {
		before, rest, found := strings.Cut(text, "KEY(")
		if !found {
			break
		}
		name, after, _ := strings.Cut(rest, ")")
		if g.digests[name] == "" {
			key, digest := authn.NewKey()
			g.setKey(name, key.Reveal())
			g.digests[name] = "sha256:" + hex.EncodeToString(digest[:])
		}
		text = before + g.digests[name] + after
	}
	if err := os.WriteFile(g.file, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.writes++
	changed := time.Unix(1e9+int64(g.writes), 0)
	if err := os.Chtimes(g.file, changed, changed); err != nil {
		g.t.Fatal(err)
	}
}
