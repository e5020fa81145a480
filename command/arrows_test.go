package command

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowedImports returns the imports that each package may have: packages of this module by
// their path below it, and other modules. Of the standard library it lists only os/exec and
// os/signal.
func allowedImports() map[string]string {
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
		"config":                 "secret tokens/dialect" + env + net,
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

// TestImports tests that packages import only what allowedImports lists, and that each entry
// is needed.
func TestImports(t *testing.T) {
	t.Parallel()
	const module = "ticketproxy"
	list := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	unused := map[string][]string{}
	for path, allowed := range allowedImports() {
		unused[path] = strings.Fields(allowed)
	}
	for line := range strings.Lines(string(out)) {
		imports := strings.Fields(line)
		path := strings.TrimPrefix(strings.TrimPrefix(imports[0], module), "/")
		allowed, ok := allowedImports()[path]
		if !ok {
			t.Errorf("package %q is not in allowedImports", path)
		}
		for _, imported := range imports[1:] {
			domain, _, _ := strings.Cut(imported, "/")
			name, ours := strings.CutPrefix(imported, module+"/")
			if !ours && !strings.Contains(domain, ".") && imported != "os/signal" && imported != "os/exec" {
				continue
			}
			if !ours && strings.Contains(domain, ".") {
				i := slices.IndexFunc(strings.Fields(allowed), func(m string) bool { return strings.HasPrefix(imported, m) })
				if i >= 0 {
					name = strings.Fields(allowed)[i]
				}
			}
			if !slices.Contains(strings.Fields(allowed), name) {
				t.Errorf("%q imports %s", path, imported)
			}
			unused[path] = slices.DeleteFunc(unused[path], func(m string) bool { return m == name })
		}
	}
	for _, path := range slices.Sorted(maps.Keys(unused)) {
		if len(unused[path]) > 0 {
			t.Errorf("%q does not import %q: remove it from allowedImports", path, unused[path])
		}
	}
}
