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
		age        = " filippo.io/age"
		env        = " github.com/caarlos0/env"
		pgx        = " github.com/jackc/pgx/v5"
		jose       = " github.com/go-jose/go-jose/v4"
		net        = " golang.org/x/net"
		prometheus = " github.com/prometheus/client_golang"
		sync       = " golang.org/x/sync"
		sys        = " golang.org/x/sys"
		time       = " golang.org/x/time"
		yaml       = " go.yaml.in/yaml"
		zap        = " go.uber.org/zap"
	)
	return map[string]string{
		"":                         "command process",
		"command":                  "admin config config/callers hint login loopback process proxy/inbound proxy/inbound/authn proxy/policy proxy/tokenendpoint sandbox secret server tokens/dialect tokens/issuer" + sync + zap,
		"server":                   "admin audit config config/callers egress hint loopback process proxy proxy/inbound proxy/inbound/authn proxy/inbound/authn/jwks proxy/policy proxy/tokenendpoint proxy/upstream secret tokens tokens/agekey tokens/issuer tokens/store tokens/store/sealed" + net + sync + zap,
		"login":                    "hint secret tokens tokens/dialect tokens/issuer os/exec os/signal" + sys,
		"config":                   "config/callers hint secret tokens/agekey tokens/dialect" + env + net,
		"config/callers":           "hint" + yaml,
		"tokens":                   "secret" + sync + zap,
		"tokens/agekey":            age[1:],
		"tokens/dialect":           "",
		"tokens/issuer":            "egress loopback secret tokens tokens/dialect",
		"tokens/store":             "tokens tokens/store/file tokens/store/kubernetes tokens/store/memory tokens/store/postgres",
		"tokens/store/file":        "hint secret tokens" + sys,
		"tokens/store/kubernetes":  "hint loopback secret tokens tokens/store/presence os/exec" + yaml,
		"tokens/store/memory":      "tokens",
		"tokens/store/postgres":    "hint loopback tokens tokens/store/presence" + pgx,
		"tokens/store/presence":    sys,
		"tokens/store/sealed":      "hint secret tokens tokens/agekey",
		"tokens/store/storetest":   "hint secret tokens",
		"proxy":                    "egress proxy/inbound proxy/upstream secret" + net + sync + zap,
		"proxy/upstream":           "egress loopback" + net + sync,
		"proxy/inbound":            sync[1:] + sys + zap,
		"proxy/policy":             "config/callers" + time,
		"admin":                    "proxy proxy/inbound tokens" + prometheus,
		"egress":                   net,
		"process":                  "os/signal" + sys,
		"sandbox":                  "",
		"secret":                   "",
		"hint":                     "",
		"loopback":                 "",
		"proxy/inbound/authn":      "config/callers loopback proxy/inbound proxy/inbound/authn/jwks secret" + jose,
		"proxy/inbound/authn/jwks": "egress loopback" + jose,
		"audit":                    "hint" + sys + zap,
		"bench/bare":               "",
		"proxy/tokenendpoint":      "audit proxy proxy/inbound secret",
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
