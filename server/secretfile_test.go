package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ticketproxy/config"
	"ticketproxy/process"
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
	if process.OnReadOnlyMount(path) {
		t.Error("a directory for temporary files is on a read-only mount")
	}
}
