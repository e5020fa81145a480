package server

import (
	"io"
	"net/http"
	"strings"

	"ticketproxy/proxy/inbound"
)

// key returns the key of a name.
func (g *gateway) key(name string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.keys[name]
}

// setKey has a name have a key, or what is sent in the place of one.
func (g *gateway) setKey(name, key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys[name] = key
}

// ask sends a request with the key of a name, "" for none. The target is a path at the
// listener for apps, or a URL.
func (g *gateway) ask(name, method, target string, header ...string) (*http.Response, string) {
	g.t.Helper()
	return g.send(name, method, target, "", header...)
}

func (g *gateway) send(name, method, target, body string, header ...string) (*http.Response, string) {
	g.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = "http://" + gatewayApps + target
	}
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if name != "" {
		r.Header.Set("Authorization", "Bearer "+g.key(name))
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := g.app.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res, string(text)
}

// expect sends a request, and checks its status and the code of Ticketproxy-Error. It returns
// the answer's body.
func (g *gateway) expect(name, method, target string, status int, code string) string {
	g.t.Helper()
	res, text := g.ask(name, method, target)
	if got := res.Header.Get(inbound.ErrorHeader); res.StatusCode != status || got != code {
		g.t.Errorf("%s: %s %s: %d %q, want %d %q: %s", name, method, target, res.StatusCode, got, status, code, text)
	}
	return text
}

// admin returns what the admin listener answers at a path.
func (g *gateway) admin(path string) string {
	g.t.Helper()
	_, text := g.ask("", http.MethodGet, "http://127.0.0.1:9090"+path)
	g.noKeys(path, text)
	return text
}

// noKeys checks that a text has no credential.
func (g *gateway) noKeys(what, text string) {
	g.t.Helper()
	for name, key := range g.keys {
		if strings.Contains(text, key[:12]) {
			g.t.Errorf("%s has the key of %s", what, name)
		}
	}
	if strings.Contains(text, "access-token") {
		g.t.Errorf("%s has an access token", what)
	}
}

// wantMetric checks that the metrics have a line.
func (g *gateway) wantMetric(line string) {
	g.t.Helper()
	if text := g.admin("/metrics"); !strings.Contains(text, "\n"+line+"\n") {
		of, _, _ := strings.Cut(line, "{")
		var similar []string
		for have := range strings.Lines(text) {
			if strings.HasPrefix(have, of) {
				similar = append(similar, have)
			}
		}
		g.t.Errorf("no metric %s; there are:\n%s", line, strings.Join(similar, ""))
	}
}
