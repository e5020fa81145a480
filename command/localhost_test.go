package command

import (
	"strings"
	"testing"
	"testing/synctest"

	"ticketproxy/sandbox"
)

// TestLocalhostNeedsNoResolverAndNoProxy uses names below localhost for all addresses. The
// test's network resolves no names, and nothing listens at the proxy's address.
func TestLocalhostNeedsNoResolverAndNoProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{}, "TICKETPROXY_ADMIN_LISTEN=localhost:9090",
			"HTTP_PROXY=http://192.0.2.1:3128", "HTTPS_PROXY=http://192.0.2.1:3128")
		for i, line := range f.environ {
			line = strings.Replace(line, "=http://127.0.0.1:", "=http://api.localhost:", 1)
			f.environ[i] = strings.Replace(line, "_LISTEN=127.0.0.1:", "_LISTEN=localhost:", 1)
		}
		f.serve()
		for name := range ports() {
			f.mustAnswer(name)
		}
		for _, verb := range []string{"check", "status", "wait"} {
			p := f.env()
			if code := ExitCode(p.Stderr, Run(t.Context(), p, []string{verb})); code != 0 {
				t.Errorf("%s ends with %d:\n%s", verb, code, f.output)
			}
		}
	})
}
