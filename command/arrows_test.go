package command

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// arrows returns what each package may import: packages of ours by their path
// below the module, and modules of others. Of the standard library, only what
// starts and ends a process is named.
func arrows() map[string]string {
	const (
		env        = " github.com/caarlos0/env"
		net        = " golang.org/x/net"
		prometheus = " github.com/prometheus/client_golang"
		sync       = " golang.org/x/sync"
		sys        = " golang.org/x/sys"
		zap        = " go.uber.org/zap"
	)
	return map[string]string{
		"":                       "command process",
		"command":                "admin config hint login loopback process sandbox secret server tokens/dialect tokens/issuer" + sync + zap,
		"server":                 "admin config egress hint loopback process proxy proxy/inbound secret tokens tokens/issuer tokens/store" + net + sync + zap,
		"login":                  "hint secret tokens tokens/dialect tokens/issuer os/exec os/signal" + sys,
		"config":                 "secret tokens/dialect" + env,
		"tokens":                 "secret" + sync + zap,
		"tokens/dialect":         "",
		"tokens/issuer":          "egress loopback secret tokens tokens/dialect",
		"tokens/store":           "tokens tokens/store/file tokens/store/memory",
		"tokens/store/file":      "hint secret tokens" + sys,
		"tokens/store/memory":    "tokens",
		"tokens/store/storetest": "secret tokens",
		"proxy":                  "egress loopback proxy/inbound secret" + net + sync + zap,
		"proxy/inbound":          sync + zap,
		"admin":                  "proxy proxy/inbound tokens" + prometheus,
		"egress":                 net,
		"process":                "os/signal" + sys,
		"sandbox":                "",
		"secret":                 "",
		"hint":                   "",
		"loopback":               "",
	}
}

// TestArrows holds that imports are those of arrows, and that none of those is
// superfluous.
func TestArrows(t *testing.T) {
	t.Parallel()
	const module = "ticketproxy"
	list := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	unused := map[string][]string{}
	for path, may := range arrows() {
		unused[path] = strings.Fields(may)
	}
	for line := range strings.Lines(string(out)) {
		imports := strings.Fields(line)
		path := strings.TrimPrefix(strings.TrimPrefix(imports[0], module), "/")
		may, ok := arrows()[path]
		if !ok {
			t.Errorf("package %q is not in arrows", path)
		}
		for _, imported := range imports[1:] {
			domain, _, _ := strings.Cut(imported, "/")
			name, ours := strings.CutPrefix(imported, module+"/")
			if !ours && !strings.Contains(domain, ".") && imported != "os/signal" && imported != "os/exec" {
				continue
			}
			if !ours && strings.Contains(domain, ".") {
				i := slices.IndexFunc(strings.Fields(may), func(m string) bool { return strings.HasPrefix(imported, m) })
				if i >= 0 {
					name = strings.Fields(may)[i]
				}
			}
			if !slices.Contains(strings.Fields(may), name) {
				t.Errorf("%q imports %s", path, imported)
			}
			unused[path] = slices.DeleteFunc(unused[path], func(m string) bool { return m == name })
		}
	}
	for _, path := range slices.Sorted(maps.Keys(unused)) {
		if len(unused[path]) > 0 {
			t.Errorf("%q does not import %q: take it out of arrows", path, unused[path])
		}
	}
}
