package server

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"ticketproxy/admin"
	"ticketproxy/config"
	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound/authn/jwks"
	"ticketproxy/proxy/upstream"
)

const reloadTime = 2 * time.Second // within which a change of CALLERS_FILE is taken up

// TestCallersReload tests that a change of CALLERS_FILE is taken up: new callers, revoked keys,
// rules. Requests in flight end with the rules that they began with.
func TestCallersReload(t *testing.T) {
	const before = "callers:\n  shop: {keys: [KEY(shop)], may: [{upstream: park}]}\n"
	withGateway(t, before, nil, func(g *gateway) {
		g.expect("shop", "GET", "/park/a", 200, "")
		flying := make(chan int)
		go func() {
			res, _ := g.ask("shop", "GET", "/park/slow")
			flying <- res.StatusCode
		}()
		time.Sleep(time.Millisecond)
		g.write("callers:\n  shop: {keys: [KEY(new)], may: [{upstream: shop}]}\n  erp: {keys: [KEY(erp)], may: [{upstream: park}]}\n")
		time.Sleep(reloadTime)
		g.expect("shop", "GET", "/park/a", 401, "unauthenticated")
		g.expect("new", "GET", "/park/a", 403, "forbidden")
		g.expect("new", "GET", "/shop/a", 200, "")
		g.expect("erp", "GET", "/park/a", 200, "")
		if status := <-flying; status != 200 {
			t.Errorf("the request in flight: %d", status)
		}
		if g.log.FilterMessage("CALLERS_FILE was read again").Len() != 1 {
			t.Errorf("log: %v", g.log.All())
		}
		g.wantMetric("ticketproxy_callers_last_reload_successful 1")
	})
}

// TestBrokenCallersFile tests that a file which cannot be used leaves the rules as they were,
// and is told of once, with a hint, in log, status and metrics.
func TestBrokenCallersFile(t *testing.T) {
	const good = "callers:\n  shop: {keys: [KEY(shop)], may: [{upstream: park}]}\n"
	withGateway(t, good, nil, func(g *gateway) {
		for name, tt := range map[string]struct {
			spoil         func()
			problem, hint string
		}{
			"a mistake": {
				func() { g.write(good + "  erp: {kyes: [x]}\n") },
				"line 3, callers.erp", "keys",
			},
			"an unknown upstream": {
				func() { g.write("callers:\n  shop: {keys: [KEY(shop)], may: [{upstream: pork}]}\n") },
				`"pork" is not an upstream`, "did you mean park?",
			},
			"no file": {func() { os.Remove(g.file) }, "a file that does not exist", "give the path of a readable file"},
		} {
			g.log.TakeAll()
			tt.spoil()
			time.Sleep(10 * time.Second)
			logged := g.log.FilterMessageSnippet("CALLERS_FILE cannot be used").All()
			if len(logged) != 1 {
				t.Fatalf("%s: logged %d times", name, len(logged))
			}
			fields := logged[0].ContextMap()
			if !strings.Contains(fmt.Sprint(fields["error"]), tt.problem) || !strings.Contains(fmt.Sprint(fields["hint"]), tt.hint) {
				t.Errorf("%s: logged %v", name, fields)
			}
			status := g.admin("/status")
			if !strings.Contains(status, "TICKETPROXY_CALLERS_FILE cannot be used") || !strings.Contains(status, tt.hint) {
				t.Errorf("%s: status %s", name, status)
			}
			g.wantMetric("ticketproxy_callers_last_reload_successful 0")
			g.expect("shop", "GET", "/park/a", 200, "")
			g.write(good)
			time.Sleep(reloadTime)
			g.wantMetric("ticketproxy_callers_last_reload_successful 1")
			if status := g.admin("/status"); strings.Contains(status, "CALLERS_FILE") {
				t.Errorf("%s was mended, and status says %s", name, status)
			}
		}
	})
}

// TestCallersAfterSIGHUP tests that SIGHUP reads CALLERS_FILE at once.
func TestCallersAfterSIGHUP(t *testing.T) {
	withGateway(t, "callers:\n  shop: {keys: [KEY(shop)], may: [{upstream: park}]}\n", nil, func(g *gateway) {
		g.write("callers:\n  erp: {keys: [KEY(erp)], may: [{upstream: park}]}\n")
		g.hangup <- struct{}{}
		time.Sleep(time.Millisecond)
		g.expect("shop", "GET", "/park/a", 401, "unauthenticated")
		g.expect("erp", "GET", "/park/a", 200, "")

		g.writes-- // the next content has the length and the time of this one
		g.write("callers:\n  erp: {keys: [KEY(new)], may: [{upstream: park}]}\n")
		g.hangup <- struct{}{}
		time.Sleep(time.Millisecond)
		g.expect("erp", "GET", "/park/a", 401, "unauthenticated")
		g.expect("new", "GET", "/park/a", 200, "")
	})
}

// TestCallersReloadKeepsConnections tests that a change of CALLERS_FILE closes no connection to
// an API.
func TestCallersReloadKeepsConnections(t *testing.T) {
	const text = "callers:\n  shop: {keys: [KEY(shop)], may: [{upstream: park}]}\n  own: {listen: 127.0.0.1:8083, may: [{upstream: shop}]}\n"
	withGateway(t, text, nil, func(g *gateway) {
		var before []*upstream.Transport
		for _, l := range g.apps {
			before = append(before, l.transports...)
		}
		g.write(text + "  erp: {keys: [KEY(erp)]}\n")
		time.Sleep(reloadTime)
		synctest.Wait()
		var kept []bool
		i := 0
		for _, l := range g.apps {
			for _, tr := range l.transports {
				kept = append(kept, tr == before[i])
				i++
			}
		}
		if fmt.Sprint(kept) != "[true true false]" {
			t.Errorf("transports kept: %v", kept)
		}
	})
}

// TestUnixPeer tests that a Unix socket's peer is a caller by its user.
func TestUnixPeer(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer api.Close()
	for _, tt := range []struct{ uid, status int }{{os.Getuid(), 200}, {os.Getuid() + 1, 401}} {
		dir, err := os.MkdirTemp("", "") // t.TempDir's path is too long for a socket
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		file, socket := filepath.Join(dir, "callers.yaml"), filepath.Join(dir, "s")
		text := fmt.Sprintf("callers: {shop: {uid: %d, may: [{upstream: park}]}}", tt.uid)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := newServer(t, "TICKETPROXY_PARK_LISTEN=unix:"+socket, "TICKETPROXY_CALLERS_FILE="+file, "TICKETPROXY_SHOP_LISTEN=127.0.0.1:0",
			"TICKETPROXY_ADMIN_LISTEN=off", "TICKETPROXY_PARK_UPSTREAM_URL="+api.URL)
		s.sources = map[string]proxy.TokenSource{"park": new(rotatingSource), "shop": new(rotatingSource)}
		s.use(s.config)
		ctx, end := context.WithCancel(t.Context())
		ready, ran := make(chan struct{}), make(chan error)
		go func() { ran <- s.run(ctx, func([]net.Addr) { close(ready) }) }()
		<-ready
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}
		res, err := (&http.Client{Transport: transport}).Get("http://localhost/a")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.status {
			t.Errorf("uid %d: %d, want %d", tt.uid, res.StatusCode, tt.status)
		}
		transport.CloseIdleConnections()
		end()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		for _, l := range s.apps {
			for _, tr := range l.transports {
				tr.CloseIdleConnections()
			}
		}
	}
}

// TestNoStartWithBrokenCallers tests that the server does not start with what it cannot use.
func TestNoStartWithBrokenCallers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "callers.yaml")
	text := "issuers: {cluster: {kubernetes: true, audience: ticketproxy}}\ncallers: {report: {serviceAccount: a/b}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(config.Environment{Vars: []string{
		"TICKETPROXY_PROVIDER=ticketpark", "TICKETPROXY_CLIENT_ID=x", "TICKETPROXY_CLIENT_SECRET=y",
		"TICKETPROXY_STATE=file:" + t.TempDir(), "TICKETPROXY_CALLERS_FILE=" + file,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(c, Options{Log: zap.NewNop()}); err == nil || !strings.Contains(err.Error(), "not a pod of a cluster: write its url") {
		t.Errorf("error %v", err)
	}
}

// TestCallersFileIsTriedAgain tests that a file which is right is taken up as soon as what it
// needs is there.
func TestCallersFileIsTriedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := &callersFile{
		config:  config.Config{CallersFile: dir + "/callers.yaml"},
		gate:    &gate{metrics: admin.NewMetrics("", true, nil, func() uint64 { return 0 })},
		cluster: &jwks.Kubernetes{Server: "https://192.0.2.1", TokenFile: dir + "/token", CAFile: dir + "/ca.crt"},
		log:     zap.NewNop(),
	}
	text := "issuers: {cluster: {kubernetes: true, audience: ticketproxy}}\ncallers: {report: {serviceAccount: a/b}}\n"
	if err := os.WriteFile(f.config.CallersFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if f.update(false) || !strings.Contains(f.Problem(), "the pod's own token") {
		t.Errorf("without the pod's token: %q", f.Problem())
	}
	encode := base64.RawURLEncoding.EncodeToString
	token := encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(`{"iss":"https://kubernetes.default.svc","sub":"x","exp":9999999999}`)) + ".AAAA"
	if err := os.WriteFile(f.cluster.TokenFile, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	if !f.update(false) || f.Problem() != "" {
		t.Errorf("with the pod's token: %q", f.Problem())
	}
	if f.update(false) {
		t.Error("the same file is read again")
	}
	f.close()
}

// TestSIGHUPTakesUpEachFile tests that a file which cannot be used leaves the others to be taken up,
// and is told of.
func TestSIGHUPTakesUpEachFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
		return path
	}
	const callers = "callers:\n  shop: {keys: [KEY(shop)], may: [{upstream: park}]}\n"
	more := []string{
		"TICKETPROXY_PARK_TOKEN_PARAMS_FILE=" + write("park", "audience=1"),
		"TICKETPROXY_SHOP_TOKEN_PARAMS_FILE=" + write("shop", "audience=1"),
	}
	withGateway(t, callers, more, func(g *gateway) {
		hangup := func() (params string) {
			g.hangup <- struct{}{}
			synctest.Wait()
			for _, u := range g.current.Upstreams {
				params += u.TokenParams.Reveal() + " "
			}
			return params
		}
		g.write(callers + "  erp: {kyes: [x]}\n")
		write("park", "audience=2")
		if got := hangup(); got != "audience=2 audience=1 " {
			t.Errorf("with a broken CALLERS_FILE: %s", got)
		}
		if status := g.admin("/status"); strings.Count(status, "callers.erp:") != 1 || strings.Contains(status, "read again at") {
			t.Errorf("with a broken CALLERS_FILE: status %s", status)
		}
		g.wantMetric("ticketproxy_callers_last_reload_successful 0")

		g.write("callers:\n  erp: {keys: [KEY(erp)], may: [{upstream: park}]}\n")
		write("park", "a\nb")
		write("shop", "audience=3")
		if got := hangup(); got != "audience=2 audience=3 " {
			t.Errorf("with broken parameters: %s", got)
		}
		g.expect("erp", "GET", "/park/a", 200, "")
		for _, page := range []string{"/status", "/readyz?verbose"} {
			if text := g.admin(page); !strings.Contains(text, "what they held before is in use: TICKETPROXY_PARK_TOKEN_PARAMS_FILE: ") {
				t.Errorf("with broken parameters: %s is %s", page, text)
			}
		}
		logged := g.log.FilterMessageSnippet("reading the files again").All()
		if len(logged) != 1 || !strings.Contains(fmt.Sprint(logged[0].ContextMap()["error"]), "TICKETPROXY_PARK_TOKEN_PARAMS_FILE") {
			t.Errorf("logged %v", logged)
		}
		write("park", "audience=4")
		if got, status := hangup(), g.admin("/status"); got != "audience=4 audience=3 " || strings.Contains(status, "before is in use") {
			t.Errorf("when all is mended: %s, status %s", got, status)
		}
	})
}
