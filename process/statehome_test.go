package process

import (
	"os"
	"path/filepath"
	"testing"
)

func TestStateHome(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	missing := filepath.Join(home, "missing")
	file := filepath.Join(home, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	me := os.Geteuid()
	for name, x := range map[string]struct {
		home, xdg string
		uid       int
		want      string
	}{
		"own home":                {home, "", me, filepath.Join(home, ".local", "state")},
		"another's home":          {home, "", me + 1, ""},
		"home is missing":         {missing, "", me, ""},
		"home is a file":          {file, "", me, ""},
		"home is the root":        {"/", "", me, ""},
		"no home":                 {"", "", me, ""},
		"XDG_STATE_HOME":          {missing, "/srv/state", me, "/srv/state"},
		"XDG_STATE_HOME and HOME": {home, missing, me, missing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			getenv := func(name string) string {
				return map[string]string{"HOME": x.home, "XDG_STATE_HOME": x.xdg}[name]
			}
			if got := StateHome(getenv, x.uid); got != x.want {
				t.Errorf("state home %q, want %q", got, x.want)
			}
		})
	}
	if _, err := os.Lstat(missing); !os.IsNotExist(err) {
		t.Errorf("something was created: %v", err)
	}
}
