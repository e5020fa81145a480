package process

import (
	"os"
	"path/filepath"
	"testing"
)

func TestStateDir(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	missing := filepath.Join(home, "missing")
	file := filepath.Join(home, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	me := os.Geteuid()
	for name, x := range map[string]struct {
		home, xdg, systemd string
		uid                int
		want               string
	}{
		"own home":                {home, "", "", me, filepath.Join(home, ".local", "state", "ticketproxy")},
		"another's home":          {home, "", "", me + 1, ""},
		"home is missing":         {missing, "", "", me, ""},
		"home is a file":          {file, "", "", me, ""},
		"home is the root":        {"/", "", "", me, ""},
		"no home":                 {"", "", "", me, ""},
		"XDG_STATE_HOME":          {missing, "/srv/state", "", me, "/srv/state/ticketproxy"},
		"XDG_STATE_HOME and HOME": {home, missing, "", me, filepath.Join(missing, "ticketproxy")},
		"systemd":                 {home, missing, "/var/lib/ticketproxy", me, "/var/lib/ticketproxy"},
		"systemd, several":        {"", "", "/var/lib/ticketproxy:/var/lib/other", me, "/var/lib/ticketproxy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			getenv := func(name string) string {
				return map[string]string{"HOME": x.home, "XDG_STATE_HOME": x.xdg, "STATE_DIRECTORY": x.systemd}[name]
			}
			if got := StateDir(getenv, x.uid); got != x.want {
				t.Errorf("state directory %q, want %q", got, x.want)
			}
		})
	}
	if _, err := os.Lstat(missing); !os.IsNotExist(err) {
		t.Errorf("something was created: %v", err)
	}
}
