package e2e

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const clusterCallers = `
issuers:
  cluster: {kubernetes: true, audience: ticketproxy}
callers:
  report: {serviceAccount: tickets/report, may: [{upstream: own, methods: [GET]}]}
  shop:   {keys: [KEY(shop)], may: [{upstream: own}], rate: {per: second, requests: 50, burst: 50}}
  erp:    {certificate: "spiffe://example.org/ns/erp/**", may: [{upstream: own, paths: [/erp/**]}]}
`

// TestCallersInACluster has three apps call over TLS, from off loopback: one with a
// ServiceAccount's token, one with a key, and one with a certificate. Who may, may; who may not
// is told why; and the audit log, which is renamed meanwhile, has each request exactly once.
func TestCallersInACluster(t *testing.T) {
	c := startCluster(t)
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root may mount the files of a pod")
	}
	address := offLoopback(t)
	f := newCallersFixture(t, clusterCallers)
	pki := newPKI(t, net.ParseIP(address))
	f.address = strings.Replace(f.address, "127.0.0.1", address, 1)
	f.extraEnv = append(f.extraEnv, "TICKETPROXY_OWN_LISTEN="+f.address, "TICKETPROXY_TLS_CERT_FILE="+pki.cert,
		"TICKETPROXY_TLS_KEY_FILE="+pki.key, "TICKETPROXY_TLS_CLIENT_CA_FILE="+pki.ca,
		"KUBERNETES_SERVICE_HOST=127.0.0.1", "KUBERNETES_SERVICE_PORT="+c.port)
	c.namespace("tickets")
	for _, name := range []string{"gateway", "report", "other"} {
		c.must(http.MethodPost, "/api/v1/namespaces/tickets/serviceaccounts", map[string]any{"metadata": map[string]any{"name": name}})
	}
	f.startWith(asPod(t, c.tokenOf("tickets", "gateway"), c.readKubeconfig().Clusters[0].Cluster.CA))
	f.awaitAllUsable(30 * time.Second)

	origin := "https://" + f.address
	report := newCaller("report", origin, "Bearer "+c.tokenOf("tickets", "report", "ticketproxy"))
	shop, erp := newCaller("shop", origin, "Bearer "+f.keys["shop"]), newCaller("erp", origin, "")
	strangers := []*caller{
		newCaller("", origin, ""),
		newCaller("", origin, "Bearer "+c.tokenOf("tickets", "other", "ticketproxy")),
		newCaller("", origin, "Bearer "+c.tokenOf("tickets", "report", "elsewhere")),
		newCaller("", origin, "Bearer "+c.tokenOf("tickets", "report")),
	}
	all := append([]*caller{report, shop, erp}, strangers...)
	for _, one := range all {
		one.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pki.roots}
	}
	certificate := pki.client(t, "spiffe://example.org/ns/erp/sa/x")
	erp.client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate =
		func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	if report.proof == strangers[2].proof {
		t.Fatal("the API server made the same token twice")
	}

	loads := []func(int){
		allowed(t, report, http.MethodGet, "/report/%d", 200, ""),
		allowed(t, report, http.MethodPost, "/report/post/%d", 403, "forbidden"),
		allowed(t, erp, http.MethodGet, "/erp/%d", 200, ""),
		allowed(t, erp, http.MethodGet, "/shop/erp/%d", 403, "forbidden"),
		func(i int) {
			if a, err := shop.send(http.MethodGet, fmt.Sprintf("/shop/%d", i)); err != nil || a.status != 200 && a.status != 429 {
				t.Errorf("shop: %+v, %v", a, err)
			}
		},
		func(i int) {
			time.Sleep(2 * time.Second)
			if err := os.Rename(f.audit(), fmt.Sprintf("%s.%d", f.audit(), i)); err != nil {
				t.Error(err)
			}
		},
	}
	for n, s := range strangers {
		loads = append(loads, func(i int) {
			a, err := s.send(http.MethodGet, fmt.Sprintf("/stranger/%d/%d", n, i))
			if err != nil || a.status != 401 && a.status != 429 || a.status == 429 && n == 0 || !strings.Contains(a.body, "detail") {
				t.Errorf("stranger %d: %+v, %v", n, a, err)
			}
		})
	}
	during(10*time.Second, 2*time.Millisecond, loads...)
	if code := f.terminate(30 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}

	answers, sent := map[string]int{}, 0
	for _, one := range all {
		for what, n := range one.answers {
			answers[what] += n
			sent += n
		}
	}
	summaries, paths := f.auditSummaries()
	if !maps.Equal(summaries, answers) {
		t.Errorf("the audit log has\n%v\nand the apps had\n%v", summaries, answers)
	}
	for path, n := range paths {
		if n != 1 {
			t.Errorf("%d lines of %s", n, path)
		}
	}
	if len(paths) != sent {
		t.Errorf("lines of %d paths, and %d requests", len(paths), sent)
	}
	served := report.count(200, "") + shop.count(200, "") + erp.count(200, "")
	if len(f.passed) != served {
		t.Errorf("the API got %d requests, and apps had %d answers", len(f.passed), served)
	}
	if n := shop.count(200, ""); n < 520 || n > 580 || shop.count(429, "rate_limited") == 0 {
		t.Errorf("shop, which may send 50 in a second and 50 at once, had %d served in 10 s", n)
	}
	t.Logf("answers: %v", answers)
}

// allowed returns a load whose answers are all the same.
func allowed(t *testing.T, c *caller, method, path string, status int, code string) func(int) {
	return func(i int) {
		if a, err := c.send(method, fmt.Sprintf(path, i)); err != nil || a.status != status || a.code != code {
			t.Errorf("%s: %s %s: %+v, %v, want %d %s", c.name, method, path, a, err, status, code)
		}
	}
}

// offLoopback returns an address of this machine that is not of loopback.
func offLoopback(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("SKIPPED: this machine has no address off loopback")
	return ""
}

// asPod has the program find the files of a pod where Kubernetes mounts them.
func asPod(t *testing.T, token string, ca []byte) func(*exec.Cmd) {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string][]byte{"token": []byte(token), "ca.crt": ca} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func(cmd *exec.Cmd) {
		const script = `mount -t tmpfs none /run && mkdir -p "$(dirname "$1")" && ln -s "$0" "$1" && exec "$2" serve`
		sh := exec.Command("/bin/sh", "-ec", script, dir, "/run/secrets/kubernetes.io/serviceaccount", cmd.Path)
		cmd.Path, cmd.Args = sh.Path, sh.Args
		cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	}
}

// tokenOf asks for a ServiceAccount's token, as the kubelet does.
func (c *cluster) tokenOf(namespace, account string, audiences ...string) string {
	c.t.Helper()
	var answer struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	c.ask(http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts/"+account+"/token",
		map[string]any{"spec": map[string]any{"audiences": audiences}}, &answer)
	return answer.Status.Token
}
