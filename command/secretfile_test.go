package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ticketproxy/sandbox"
)

func TestCheckWarnsOfExposedSecrets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := newFixture(t, sandbox.Options{}).env()
	for i, v := range p.Environ {
		if name, _, ok := strings.Cut(v, "CLIENT_SECRET="); ok {
			p.Environ[i] = name + "CLIENT_SECRET_FILE=" + path
			break
		}
	}
	var out bytes.Buffer
	p.Stdout = &out
	Run(t.Context(), p, []string{"check"})
	if !strings.Contains(out.String(), "warn  configuration: every user of this machine can read the file of ") {
		t.Errorf("check says %q", out.String())
	}
}
