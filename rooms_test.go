package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestRooms holds which package may import which; the standard library is free.
func TestRooms(t *testing.T) {
	const zap, sync, net, sys = "go.uber.org/zap", "golang.org/x/sync", "golang.org/x/net", "golang.org/x/sys"
	allowed := map[string][]string{
		"ticketproxy/secret":        {},
		"ticketproxy/hint":          {},
		"ticketproxy/loopback":      {},
		"ticketproxy/config":        {"ticketproxy/secret", "github.com/caarlos0/env"},
		"ticketproxy/tokens":        {"ticketproxy/secret", sync, zap},
		"ticketproxy/egress":        {net},
		"ticketproxy/tokens/issuer": {"ticketproxy/egress", "ticketproxy/loopback", "ticketproxy/secret", "ticketproxy/tokens"},
		"ticketproxy/tokens/store":  {"ticketproxy/hint", "ticketproxy/secret", "ticketproxy/tokens", sys},
		"ticketproxy/proxy":         {"ticketproxy/egress", "ticketproxy/loopback", "ticketproxy/secret", net, sync, zap},
		"ticketproxy/admin":         {"ticketproxy/proxy", "ticketproxy/tokens", "github.com/prometheus/client_golang"},
		"ticketproxy/sandbox":       {},
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		room, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		if room == "ticketproxy" {
			continue
		}
		may, ok := allowed[room]
		if !ok {
			t.Errorf("%s is a room that nobody knows", room)
		}
		for _, imported := range strings.Fields(imports) {
			if domain, _, _ := strings.Cut(imported, "/"); !strings.Contains(domain, ".") && domain != "ticketproxy" {
				continue
			}
			good := false
			for _, prefix := range may {
				good = good || imported == prefix || strings.HasPrefix(imported, prefix+"/") && !strings.HasPrefix(prefix, "ticketproxy/tokens")
			}
			if !good {
				t.Errorf("%s imports %s", room, imported)
			}
		}
	}
}
