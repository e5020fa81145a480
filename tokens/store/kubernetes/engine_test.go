//go:build cluster

package kubernetes

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// An apiServer is one that can be killed, and started again with its data.
type apiServer struct {
	dir, port, etcdPort string
	cmd                 *exec.Cmd
}

func (s *apiServer) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command(os.Getenv("E2E_CLUSTER"), "--dir", s.dir, "--port", s.port, "--etcd-port", s.etcdPort)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("starting the API server, which e2e/cluster/build.sh builds: %v", err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if lines.Text() == "ready" {
			return
		}
	}
	t.Fatal("the API server has ended")
}

func (s *apiServer) kill(*testing.T) {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// copyData copies the data of the stopped server.
func (s *apiServer) copyData(t *testing.T, from, to string) {
	t.Helper()
	s.kill(t)
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.start(t)
}

// kubeconfig returns the path of the administrator's kubeconfig for an address of the server.
func (s *apiServer) kubeconfig(t *testing.T, address string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "admin.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := strings.ReplaceAll(string(data), "127.0.0.1:"+s.port, address)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestClusterFaults tests the contract while a real API server fails. Each place is a Secret.
func TestClusterFaults(t *testing.T) {
	dir := t.TempDir()
	s := &apiServer{dir: filepath.Join(dir, "data"), port: freePort(t), etcdPort: freePort(t)}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.kill(t) })
	s.start(t)
	addr := "127.0.0.1:" + s.port
	open := func(t *testing.T, place, address string) *Secret {
		t.Helper()
		if address == "" {
			address = addr
		}
		secret, err := Open("default/"+place, environment("KUBECONFIG="+s.kubeconfig(t, address)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { secret.Close() })
		return secret
	}
	put := func(t *testing.T, place, key, text string) {
		t.Helper()
		secret := open(t, place, "")
		next := object{Data: map[string][]byte{key: []byte(text)}}
		err := secret.client.do(t.Context(), http.MethodPatch, secret.path(), "application/merge-patch+json", next, &object{})
		if err != nil {
			t.Fatal(err)
		}
	}
	storetest.RunEngine(t, storetest.Engine{
		Open: func(t *testing.T, place, address string) tokens.Store {
			return open(t, place, address).Account("park")
		},
		Addr:    addr,
		Kill:    s.kill,
		Start:   s.start,
		Backup:  func(t *testing.T) { s.copyData(t, s.dir, filepath.Join(dir, "backup")) },
		Restore: func(t *testing.T) { s.copyData(t, filepath.Join(dir, "backup"), s.dir) },
		Put:     func(t *testing.T, place, text string) { put(t, place, "park.json", text) },
		Touch:   func(t *testing.T, place string) { put(t, place, "other", "x") },
		Step:    100,
	})
}
