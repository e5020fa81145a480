package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ticketproxy/config"
	"ticketproxy/sandbox"
)

func TestSecretFileThatAllCanRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := []config.SecretFile{{Variable: "TICKETPROXY_CLIENT_SECRET_FILE", Path: path}}
	no, yes := func(string) bool { return false }, func(string) bool { return true }
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: false, 0o644: true, 0o604: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(exposedSecrets(files, no), "; ")
		if (got != "") != warned {
			t.Errorf("mode %v: %q", mode, got)
		}
		if warned && !strings.Contains(got, "TICKETPROXY_CLIENT_SECRET_FILE (mode 06") || strings.Contains(got, path) {
			t.Errorf("mode %v: %q", mode, got)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := exposedSecrets(files, yes); got != nil {
		t.Errorf("on a read-only mount: %q", got)
	}
	if onReadOnlyMount(path) {
		t.Error("a directory for temporary files is on a read-only mount")
	}

	// The status of a running program and check tell of it.
	p := newHouse(t, sandbox.Options{}).process()
	for i, v := range p.environ {
		if name, _, ok := strings.Cut(v, "CLIENT_SECRET="); ok {
			p.environ[i] = name + "CLIENT_SECRET_FILE=" + path
			break
		}
	}
	c, err := p.configure()
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.assemble(c, p.logger(c))
	if err != nil {
		t.Fatal(err)
	}
	defer m.closeState()
	if all := m.warnings(); len(all) != 1 || !strings.Contains(all[0], "CLIENT_SECRET_FILE (mode 0644)") {
		t.Errorf("warnings %q", all)
	}
	var out bytes.Buffer
	p.stdout = &out
	run(t.Context(), p, []string{"check"})
	if !strings.Contains(out.String(), "warn  configuration: every user of this machine can read the file of ") {
		t.Errorf("check says %q", out.String())
	}
}
