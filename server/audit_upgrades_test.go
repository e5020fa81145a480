package server

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// onlyLine returns the line of the audit log, which has one.
func (g *gateway) onlyLine() map[string]any {
	g.t.Helper()
	synctest.Wait()
	lines := g.stdout.lines(g.t)
	if len(lines) != 1 {
		g.t.Fatalf("%d lines: %v", len(lines), lines)
	}
	return lines[0]
}

// TestAuditOfUpgradedConnections tests that a WebSocket has a line when it ends, which tells what
// became of it.
func TestAuditOfUpgradedConnections(t *testing.T) {
	const text = "callers:\n  shop: {keys: [KEY(shop)], may: [{upstream: park}]}\n"
	for name, tt := range map[string]struct {
		end    func(*gateway, *socket)
		reason any
	}{
		"the app leaves": {func(_ *gateway, s *socket) { s.Close() }, nil},
		"the caller is removed": {func(g *gateway, _ *socket) {
			g.write(strings.Replace(text, "KEY(shop)", "KEY(other)", 1))
			g.hangup <- struct{}{}
		}, "CALLERS_FILE does not allow it any more"},
	} {
		t.Run(name, func(t *testing.T) {
			withGateway(t, text, nil, func(g *gateway) {
				s := g.upgrade(g.key("shop"))
				defer s.Close()
				for range 2 {
					if time.Sleep(5 * time.Minute); !s.isOpen() {
						t.Fatal("it is closed")
					}
				}
				synctest.Wait() // for the bytes to be counted
				if n := len(g.stdout.lines(t)); n > 0 {
					t.Errorf("%d lines while it is open", n)
				}
				tt.end(g, s)
				line := g.onlyLine()
				for field, want := range map[string]any{
					"http.response.status_code": 101.0, "event.outcome": "success", "event.reason": tt.reason, "error.code": nil,
					"user.name": "shop", "http.request.body.bytes": 8.0, "http.response.body.bytes": 8.0,
					"event.duration": float64(10 * time.Minute),
				} {
					if line[field] != want {
						t.Errorf("%s is %v, want %v", field, line[field], want)
					}
				}
			})
		})
	}
}
