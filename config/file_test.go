package config_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ticketproxy/config"
)

// Opening a pipe, or reading a terminal, could block forever.
func TestSecretIsNotReadFromAPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, variable := range []string{"REFRESH_TOKEN_FILE", "CA_FILE"} {
		for _, path := range []string{pipe, dir, "/dev/null"} {
			environment := config.Environment{Vars: park(variable + "=" + path), StateDir: dir, Dialects: dialects()}
			_, err := config.Parse(environment)
			if err == nil || !strings.Contains(err.Error(), "TICKETPROXY_"+variable+": names a pipe, a terminal or a directory") {
				t.Errorf("%s=%s: %v", variable, path, err)
			}
		}
	}
}
