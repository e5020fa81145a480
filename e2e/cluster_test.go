package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// clusterVariable gives the path of the API server that cluster/build.sh has built.
const clusterVariable = "E2E_CLUSTER"

// A cluster is a running kube-apiserver. It can be stopped, and started again with its data.
type cluster struct {
	t        *testing.T
	binary   string
	dir      string
	port     string
	etcdPort string
	origin   string
	admin    *http.Client
	cmd      *exec.Cmd
	log      tail
}

// startCluster starts an API server until the test ends. Where it is not built the test is
// skipped, or fails with -complete.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	path := os.Getenv(clusterVariable)
	if path == "" && *complete {
		t.Fatalf("%s is not set, and -complete allows no skipped test; cluster/build.sh builds the API server", clusterVariable)
	}
	if path == "" {
		t.Skipf("SKIPPED: %s is not set; cluster/build.sh builds the API server", clusterVariable)
	}
	c := &cluster{t: t, binary: path, dir: t.TempDir()}
	_, c.port, _ = strings.Cut(freeAddress(t), ":")
	_, c.etcdPort, _ = strings.Cut(freeAddress(t), ":")
	c.origin = "https://127.0.0.1:" + c.port
	t.Cleanup(func() {
		c.stop()
		if t.Failed() {
			t.Logf("end of the API server's log:\n%s", c.log.String())
		}
	})
	c.start()
	c.admin = c.client()
	return c
}

// start starts the API server, and waits until it is ready.
func (c *cluster) start() {
	c.t.Helper()
	c.cmd = exec.Command(c.binary, "--dir", c.dir, "--port", c.port, "--etcd-port", c.etcdPort)
	c.cmd.Stderr = &c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if lines.Text() == "ready" {
				ready <- true
			}
		}
		close(ready)
	}()
	select {
	case ok := <-ready:
		if !ok {
			c.t.Fatalf("the API server has ended:\n%s", c.log.String())
		}
	case <-time.After(time.Minute):
		c.t.Fatalf("the API server is not ready after a minute:\n%s", c.log.String())
	}
}

// stop kills the API server with its etcd.
func (c *cluster) stop() {
	if c.cmd != nil && c.cmd.ProcessState == nil {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	}
}

// kubeconfig is the administrator's, as far as it is read here.
type kubeconfig struct {
	Clusters []struct {
		Cluster struct {
			CA []byte `json:"certificate-authority-data"`
		} `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		User struct {
			Certificate []byte `json:"client-certificate-data"`
			Key         []byte `json:"client-key-data"`
		} `json:"user"`
	} `json:"users"`
}

func (c *cluster) adminKubeconfig() string { return filepath.Join(c.dir, "admin.kubeconfig") }

func (c *cluster) readKubeconfig() kubeconfig {
	c.t.Helper()
	data, err := os.ReadFile(c.adminKubeconfig())
	if err != nil {
		c.t.Fatal(err)
	}
	var k kubeconfig
	if err := json.Unmarshal(data, &k); err != nil || len(k.Clusters) == 0 || len(k.Users) == 0 {
		c.t.Fatalf("the administrator's kubeconfig: %v", err)
	}
	return k
}

// client returns the administrator's client.
func (c *cluster) client() *http.Client {
	k := c.readKubeconfig()
	pair, err := tls.X509KeyPair(k.Users[0].User.Certificate, k.Users[0].User.Key)
	if err != nil {
		c.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(k.Clusters[0].Cluster.CA)
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}},
		},
	}
}

// anonymous returns a client without credentials.
func (c *cluster) anonymous() *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.readKubeconfig().Clusters[0].Cluster.CA)
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
}

// ask makes a request as the administrator, and decodes the answer of a success.
func (c *cluster) ask(method, path string, body, into any) int {
	c.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequest(method, c.origin+path, bytes.NewReader(data))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	res, err := c.admin.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if into != nil {
		if res.StatusCode/100 != 2 {
			c.t.Fatalf("%s %s: %s\n%s", method, path, res.Status, answer)
		}
		if err := json.Unmarshal(answer, into); err != nil {
			c.t.Fatalf("%s %s: %v\n%s", method, path, err, answer)
		}
	}
	return res.StatusCode
}

// must makes a request that succeeds.
func (c *cluster) must(method, path string, body any) {
	c.t.Helper()
	c.ask(method, path, body, &struct{}{})
}

// namespace makes a namespace.
func (c *cluster) namespace(name string) {
	c.t.Helper()
	c.must(http.MethodPost, "/api/v1/namespaces", map[string]any{"metadata": map[string]any{"name": name}})
}

// account makes a ServiceAccount that may use verbs on one Secret, and create Secrets if
// asked to. It returns the path of its kubeconfig.
func (c *cluster) account(namespace, name, secret string, create bool, verbs ...string) string {
	c.t.Helper()
	metadata := map[string]any{"name": name, "namespace": namespace}
	rules := []any{map[string]any{
		"apiGroups": []string{""}, "resources": []string{"secrets"}, "resourceNames": []string{secret}, "verbs": verbs,
	}}
	if create {
		rules = append(rules, map[string]any{
			"apiGroups": []string{""}, "resources": []string{"secrets"}, "verbs": []string{"create"},
		})
	}
	c.must(http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts", map[string]any{"metadata": metadata})
	const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/"
	c.must(http.MethodPost, rbac+namespace+"/roles", map[string]any{"metadata": metadata, "rules": rules})
	c.must(http.MethodPost, rbac+namespace+"/rolebindings", map[string]any{
		"metadata": metadata,
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": name, "namespace": namespace}},
	})
	return c.kubeconfigOf(namespace, name)
}

// kubeconfigOf returns the path of a ServiceAccount's kubeconfig.
func (c *cluster) kubeconfigOf(namespace, name string) string {
	c.t.Helper()
	var token struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	c.ask(http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts/"+name+"/token",
		map[string]any{"spec": map[string]any{}}, &token)
	dir := c.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(token.Status.Token), 0o600); err != nil {
		c.t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{
		"current-context": "test",
		"contexts": []any{map[string]any{"name": "test", "context": map[string]any{
			"cluster": "test", "user": "test", "namespace": namespace,
		}}},
		"clusters": []any{map[string]any{"name": "test", "cluster": map[string]any{
			"server": c.origin, "certificate-authority-data": c.readKubeconfig().Clusters[0].Cluster.CA,
		}}},
		"users": []any{map[string]any{"name": "test", "user": map[string]any{"tokenFile": "token"}}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	path := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// requests returns how many requests for Secrets the API server has had, by verb.
func (c *cluster) requests() map[string]int {
	c.t.Helper()
	res, err := c.admin.Get(c.origin + "/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	counts := map[string]int{}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		line := lines.Text()
		if !strings.HasPrefix(line, "apiserver_request_total{") || !strings.Contains(line, `resource="secrets"`) {
			continue
		}
		_, rest, _ := strings.Cut(line, `verb="`)
		verb, _, _ := strings.Cut(rest, `"`)
		var n float64
		if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n); err != nil {
			c.t.Fatal(err)
		}
		counts[verb] += int(n)
	}
	return counts
}
