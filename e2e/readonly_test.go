package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// nobody is the user that runs the program when root runs the tests. File modes do
// not restrict root.
const nobody = 65532

// TestReadOnlyDirectory makes the state directory read-only.
func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	root := openToAll(t)
	program := filepath.Join(root, "ticketproxy")
	copyProgram(t, program)
	mode := func(m os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Chmod(dir, m); err != nil {
				t.Error(err)
			}
		}
	}
	t.Run("scenarios", func(t *testing.T) {
		testUnwritable(t, volume{
			newDir: func(t *testing.T) string {
				dir, err := os.MkdirTemp(root, "")
				if err == nil && os.Geteuid() == 0 {
					err = os.Chown(dir, nobody, nobody)
				}
				if err != nil {
					t.Fatal(err)
				}
				return dir
			},
			prepare: func(_ *testing.T, p *proxy) {
				p.binary = program
				if os.Geteuid() == 0 {
					p.credential = &syscall.Credential{Uid: nobody, Gid: nobody}
				}
			},
			blockWrites: mode(0o500),
			allowWrites: mode(0o700),
		})
	})
}

// openToAll returns a new directory that other users can reach.
func openToAll(t *testing.T) string {
	t.Helper()
	for _, under := range []string{os.TempDir(), "/var/tmp"} {
		dir, err := os.MkdirTemp(under, "ticketproxy-e2e-")
		if err != nil {
			continue
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() != 0 || reachable(dir) {
			return dir
		}
	}
	t.Skip("SKIPPED: NOT TESTED AS ANOTHER USER because no temporary directory is reachable for others")
	return ""
}

func reachable(dir string) bool {
	for ; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
	}
	return true
}

func copyProgram(t *testing.T, to string) {
	t.Helper()
	content, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	writeProgram(t, to, content)
}

// writeProgram writes an executable file. It lets no process fork while the file is
// open, because the child would keep the file open for writing and starting the
// file would fail with ETXTBSY.
func writeProgram(t *testing.T, path string, content []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
}
