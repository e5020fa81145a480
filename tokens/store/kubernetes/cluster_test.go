//go:build cluster

package kubernetes

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// startAPIServer starts the API server that e2e/cluster/build.sh has built at E2E_CLUSTER,
// until the test ends. It returns the path of the administrator's kubeconfig.
func startAPIServer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(os.Getenv("E2E_CLUSTER"), "--dir", dir, "--port", freePort(t), "--etcd-port", freePort(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the API server, which e2e/cluster/build.sh builds: %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if lines.Text() == "ready" {
			return filepath.Join(dir, "admin.kubeconfig")
		}
	}
	t.Fatal("the API server has ended")
	return ""
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestClusterContract tests the contract of a store on a real API server. Each part has a
// Secret of its own.
func TestClusterContract(t *testing.T) {
	getenv := environment("KUBECONFIG=" + startAPIServer(t))
	admin, err := Open("default/none", getenv)
	if err != nil {
		t.Fatal(err)
	}
	namespace := map[string]any{"metadata": map[string]any{"name": "tickets"}}
	if err := admin.client.do(t.Context(), http.MethodPost, "/api/v1/namespaces", "application/json", namespace, &object{}); err != nil {
		t.Fatal(err)
	}
	var secrets atomic.Int64
	t.Run("contract", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) (a, b tokens.Store) {
			place := fmt.Sprintf("tickets/state-%d", secrets.Add(1))
			open := func() tokens.Store {
				s, err := Open(place, getenv)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				return s.Account("park")
			}
			return open(), open()
		})
	})
}
