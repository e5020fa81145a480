package server

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/hint"
)

const auditFile = `
callers:
  shop: {keys: [KEY(shop)], may: [{upstream: park}], rate: {per: hour, requests: 1, burst: 3}}
`

// TestAuditLines tests that each request has exactly one line, also one that is refused.
func TestAuditLines(t *testing.T) {
	withGateway(t, auditFile, nil, func(g *gateway) {
		for _, r := range []struct{ name, method, target, field, value string }{
			{"shop", "GET", "/park/a?token=x", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
			{"shop", "PUT", "/park/a%2Fb", "X", "x"},
			{"shop", "GET", "/shop/a", "X", "x"},
			{"shop", "GET", "/none", "X", "x"},
			{"", "GET", "/park/a", "X", "x"},
			{"shop", "GET", "/park/a", "Origin", "https://evil.test"},
			{"shop", "GET", "/park/busy", "X", "x"},
			{"shop", "GET", "/park/a", "X", "x"},
		} {
			g.send(r.name, r.method, r.target, "four", r.field, r.value)
		}
		g.end()
		var got []string
		for _, line := range g.stdout.lines(t) {
			text := ""
			for _, name := range []string{
				"user.name", "ticketproxy.proof", "client.address", "ticketproxy.upstream", "ticketproxy.account", "ticketproxy.generation",
				"http.request.method", "url.path", "http.response.status_code", "error.code", "http.request.body.bytes", "trace.id",
			} {
				if value := line[name]; value != nil {
					text += fmt.Sprint(value)
				}
				text += " "
			}
			got = append(got, strings.TrimRight(text, " "))
			if (line["error.code"] == nil) != (line["event.reason"] == nil) {
				t.Errorf("the reason is missing: %v", line)
			}
		}
		want := []string{
			"shop key 127.0.0.1 park park 1 GET /park/a 200  4 0af7651916cd43dd8448eb211c80319c",
			"shop key 127.0.0.1 park park 1 PUT /park/a%2Fb 200  4",
			"shop key 127.0.0.1 shop shop  GET /shop/a 403 forbidden 0",
			"shop key 127.0.0.1    GET /none 404 no_such_upstream 0",
			"  127.0.0.1 park park  GET /park/a 401 unauthenticated 0",
			"  127.0.0.1    GET /park/a 403 cross_site 0",
			"shop key 127.0.0.1 park park 1 GET /park/busy 429  4",
			"shop key 127.0.0.1 park park  GET /park/a 429 rate_limited 0",
		}
		if !slices.Equal(got, want) {
			t.Errorf("lines:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestAuditRequired tests that nothing is passed on while the audit log cannot be written, and
// that no request which was passed on lacks its line.
func TestAuditRequired(t *testing.T) {
	const text = "callers:\n  shop: {keys: [KEY(shop)], may: [{upstream: park}], tokens: [park]}\n"
	more := []string{"TICKETPROXY_AUDIT_REQUIRED=true", "TICKETPROXY_TOKEN_LISTEN=" + gatewayTokens}
	withGateway(t, text, more, func(g *gateway) {
		g.expect("shop", "GET", "/park/a", 200, "")
		g.stdout.set(true)
		g.expect("shop", "GET", "/park/a", 200, "") // its line is kept
		for range 3 {
			res, body := g.ask("shop", "GET", "/park/a")
			if res.StatusCode != 503 || res.Header.Get("Ticketproxy-Error") != "audit_unavailable" || res.Header.Get("Retry-After") != "1" {
				t.Errorf("%d %s", res.StatusCode, body)
			}
			res, body = g.ask("shop", "GET", "http://"+gatewayTokens+"/token/park", "Ticketproxy-Request", "true")
			if res.StatusCode != 503 || strings.Contains(body, "access-token") {
				t.Errorf("a token: %d %s", res.StatusCode, body)
			}
		}
		if g.passed() != 2 {
			t.Errorf("the API got %q", g.api)
		}
		const why = "the audit log cannot be written, and requests are refused: "
		if ready := g.admin("/readyz?verbose"); !strings.HasPrefix(ready, "not ready\nwarning: "+why) {
			t.Errorf("ready %s", ready)
		}
		if status := g.admin("/status"); !strings.Contains(status, why) || !strings.Contains(status, `"ready": false`) {
			t.Errorf("status %s", status)
		}
		g.stdout.set(false)
		if ready := g.admin("/readyz?verbose"); !strings.HasPrefix(ready, "ok\naccount park") { // with no request before
			t.Errorf("ready %s", ready)
		}
		g.expect("shop", "GET", "/park/a", 200, "")
		g.end()
		if lines := g.stdout.lines(t); len(lines) != 3 || g.passed() != 3 {
			t.Errorf("%d lines of %d requests", len(lines), g.passed())
		}
		if g.log.FilterMessageSnippet("the audit log").Len() != 2 {
			t.Errorf("log %v", g.log.All())
		}
	})
}

// TestAuditLoses tests that lines which need not be written are counted when they are lost.
func TestAuditLoses(t *testing.T) {
	withGateway(t, auditFile, nil, func(g *gateway) {
		g.stdout.set(true)
		g.expect("shop", "GET", "/park/a", 200, "")
		g.expect("", "GET", "/park/a", 401, "unauthenticated")
		g.wantMetric("ticketproxy_audit_lost_lines_total 2")
		if ready := g.admin("/readyz?verbose"); !strings.HasPrefix(ready, "ok\nwarning: the audit log cannot be written, and lines are lost") {
			t.Errorf("ready %s", ready)
		}
	})
}

// TestAuditFileIsRenamed tests that a log that was renamed goes on in a new file, also without
// SIGHUP, and at once with it.
func TestAuditFileIsRenamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	withGateway(t, auditFile, []string{"TICKETPROXY_AUDIT_LOG=file:" + path}, func(g *gateway) {
		lines := 0
		for i, wait := range []func(){
			func() {},
			func() { time.Sleep(time.Second) },
			func() { g.hangup <- struct{}{}; time.Sleep(time.Millisecond) },
		} {
			if i > 0 {
				if err := os.Rename(path, fmt.Sprint(path, i)); err != nil {
					t.Fatal(err)
				}
			}
			wait()
			g.ask("", http.MethodGet, "/park/a")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines += len(auditLines(t, data))
		}
		if lines != 3 {
			t.Errorf("%d lines, want 3", lines)
		}
	})
}

// TestAuditFileIsRenamedAway tests that the operator is told of a renamed log that goes on because
// no new file can be opened, after SIGHUP at once, and that no line is lost meanwhile.
func TestAuditFileIsRenamedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	withGateway(t, auditFile, []string{"TICKETPROXY_AUDIT_LOG=file:" + path}, func(g *gateway) {
		const warning = "warning: the audit log goes on in a file that was renamed"
		hangup := func(errs ...error) {
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			g.hangup <- struct{}{}
			synctest.Wait()
		}
		hangup(os.Rename(path, path+".1"), os.Mkdir(path, 0o700))
		g.wantMetric("ticketproxy_audit_renamed_file 1")
		if ready := g.admin("/readyz?verbose"); !strings.HasPrefix(ready, "ok\n"+warning) {
			t.Errorf("ready %s", ready)
		}
		g.ask("", http.MethodGet, "/park/a")
		hangup(os.Remove(path))
		if _, err := os.Stat(path); err != nil {
			t.Errorf("after SIGHUP: %v", err)
		}
		g.wantMetric("ticketproxy_audit_renamed_file 0")
		if ready := g.admin("/readyz?verbose"); strings.Contains(ready, "renamed") {
			t.Errorf("ready %s", ready)
		}
		g.ask("", http.MethodGet, "/park/a")
		for _, file := range []string{path, path + ".1"} {
			data, err := os.ReadFile(file)
			if n := len(auditLines(t, data)); n != 1 {
				t.Errorf("%s has %d lines, %v", file, n, err)
			}
		}
		g.wantMetric("ticketproxy_audit_lost_lines_total 0")
	})
}

// TestAuditHints tests that the hint for a file which cannot be opened fits the reason.
func TestAuditHints(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, want := range map[string]string{
		"/dev/null":     "set TICKETPROXY_AUDIT_LOG to stdout, stderr or off",
		dir:             "name a file in it",
		dir + "/no/log": "make the directory " + dir + "/no",
	} {
		c := config.Config{AuditLog: config.AuditLog{Output: "file", Path: path}}
		if _, err := openAudit(c, Options{Log: zap.NewNop()}); !strings.Contains(hint.Of(err), want) {
			t.Errorf("%s: %v, hint %q", path, err, hint.Of(err))
		}
	}
}
