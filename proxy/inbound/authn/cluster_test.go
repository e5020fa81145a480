//go:build cluster

package authn

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ticketproxy/config/callers"
	"ticketproxy/proxy/inbound/authn/jwks"
)

// A cluster is a real API server, which e2e/cluster/build.sh has built at E2E_CLUSTER, and its
// administrator.
type cluster struct {
	t      *testing.T
	server string
	ca     []byte
	client *http.Client
}

// kubeconfig is the part of one that is needed. The cluster writes it in JSON.
type kubeconfig struct {
	Clusters []struct {
		Cluster struct {
			Server string `json:"server"`
			CA     []byte `json:"certificate-authority-data"`
		} `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		User struct {
			Certificate []byte `json:"client-certificate-data"`
			Key         []byte `json:"client-key-data"`
		} `json:"user"`
	} `json:"users"`
}

func startCluster(t *testing.T) *cluster {
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
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "ready" {
	}
	data, err := os.ReadFile(filepath.Join(dir, "admin.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	var config kubeconfig
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	of, user := config.Clusters[0].Cluster, config.Users[0].User
	pair, err := tls.X509KeyPair(user.Certificate, user.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(of.CA)
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}},
		DisableKeepAlives: true,
	}
	return &cluster{t, of.Server, of.CA, &http.Client{Transport: transport}}
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

// post creates an object, and returns its status.
func (c *cluster) post(path string, body, status any) {
	c.t.Helper()
	text, _ := json.Marshal(body)
	res, err := c.client.Post(c.server+path, "application/json", bytes.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		c.t.Fatalf("%s: %s", path, res.Status)
	}
	json.NewDecoder(res.Body).Decode(&struct {
		Status any `json:"status"`
	}{status})
}

// account makes a ServiceAccount in the namespace default.
func (c *cluster) account(name string) {
	c.t.Helper()
	c.post("/api/v1/namespaces/default/serviceaccounts", map[string]any{"metadata": map[string]any{"name": name}}, &struct{}{})
}

// token asks for a ServiceAccount's token, as the kubelet does.
func (c *cluster) token(account string, audiences ...string) string {
	c.t.Helper()
	var status struct {
		Token string `json:"token"`
	}
	c.post("/api/v1/namespaces/default/serviceaccounts/"+account+"/token",
		map[string]any{"spec": map[string]any{"audiences": audiences}}, &status)
	return status.Token
}

// TestCluster tests ServiceAccount tokens of a real API server, with the rights that each
// ServiceAccount has.
func TestCluster(t *testing.T) {
	c := startCluster(t)
	c.account("gateway")
	c.account("report")
	c.account("stranger")
	dir := t.TempDir()
	own := c.token("gateway") // without an audience, as a pod's own is
	for name, text := range map[string]string{"token": own, "ca.crt": string(c.ca)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := callers.Parse([]byte(`
issuers: {cluster: {kubernetes: true, audience: ticketproxy}}
callers: {report: {serviceAccount: default/report}}
`))
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Config{
		File:   file,
		Report: func(_ string, err error) { t.Error(err) },
		Kubernetes: &jwks.Kubernetes{
			Server:    c.server,
			TokenFile: filepath.Join(dir, "token"),
			CAFile:    filepath.Join(dir, "ca.crt"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	signed := c.token("report", "ticketproxy")
	for name, test := range map[string]struct{ token, want string }{
		"with our audience":            {c.token("report", "ticketproxy"), "report by token"},
		"with ours and another":        {c.token("report", "x", "ticketproxy"), "report by token"},
		"with another":                 {c.token("report", "x"), `the audience "x", and must have "ticketproxy"`},
		"the pod's default token":      {c.token("report"), "good at its issuer's own API"},
		"with the API server's beside": {c.token("report", "ticketproxy", "https://kubernetes.default.svc"), "good at its issuer's own API"},
		"another ServiceAccount's":     {c.token("stranger", "ticketproxy"), `"system:serviceaccount:default:stranger" is no caller's`},
		"our own":                      {own, "good at its issuer's own API"},
		"changed":                      {damaged(signed, len(signed)-20), "signature"},
	} {
		for range 2 {
			if got := outcome(a.Authenticate(bearer(test.token))); !strings.Contains(got, test.want) {
				t.Errorf("%s: %s, want %s", name, got, test.want)
			}
		}
	}
}
