package e2e

import (
	"flag"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The tests with an API server are not parallel: an API server uses all CPUs while it starts,
// and other tests with deadlines would fail.

var clusterTime = flag.Duration("cluster", 40*time.Second,
	"how long TestKubernetesReplicas and TestPostgresReplicas last")

// stateVerbs are what a refresher may do to its Secret.
var stateVerbs = []string{"get", "watch", "patch"}

// newReplicas returns instances that share a Secret as their state.
func newReplicas(t *testing.T, c *cluster, n int, kubeconfig string, providers map[string]*provider) []*proxy {
	t.Helper()
	var all []*proxy
	for range n {
		all = append(all, newProxy(t, t.TempDir(), providers,
			"TICKETPROXY_STATE=kubernetes:tickets/state", "KUBECONFIG="+kubeconfig))
	}
	return all
}

// one returns the providers without all but one.
func one(providers map[string]*provider, name string) map[string]*provider {
	return map[string]*provider{name: providers[name]}
}

// TestKubernetesReads counts what five replicas cost the API server in their first 40 s, with
// the access tokens that they write for readers.
func TestKubernetesReads(t *testing.T) {
	c := startCluster(t)
	c.namespace("tickets")
	kubeconfig := c.refresherAccount(true)
	providers := one(startSandbox(t, time.Hour), "openticket")
	before := c.requests()
	all := newReplicas(t, c, 5, kubeconfig, providers)
	for _, p := range all {
		p.start()
	}
	for _, p := range all {
		p.awaitUsable("openticket", 30*time.Second)
	}
	time.Sleep(40 * time.Second)
	after := c.requests()
	cost := map[string]int{}
	for verb, n := range after {
		cost[verb] = n - before[verb]
	}
	t.Logf("5 replicas in 40 s of hour-long tokens: %v", cost)
	if cost["GET"] > 30 {
		t.Errorf("%d reads, want at most 30", cost["GET"])
	}
	if n := providers["openticket"].counters(); n.Redemptions != 1 || n.Reuses != 0 {
		t.Errorf("%+v, want one redemption", n)
	}
}

// TestKubernetesReplicas has five replicas share one account with short tokens for single
// use. In the first half nothing happens to them, and no app may see an error. Then they are
// killed and stopped at random, and the API server is killed, too. No refresh token may be
// redeemed twice.
func TestKubernetesReplicas(t *testing.T) {
	c := startCluster(t)
	c.namespace("tickets")
	kubeconfig := c.account("tickets", "refresher", "state", true, stateVerbs...)
	providers := one(startSandbox(t, 5*time.Second), "openticket")
	account := providers["openticket"]
	all := newReplicas(t, c, 5, kubeconfig, providers)
	shareAccount(t, engine{
		stop:  c.stop,
		start: c.start,
		cost:  c.requests,
		say: func(cost map[string]int) string {
			return fmt.Sprintf("reads %d, writes %d, watches %d", cost["GET"], cost["PATCH"], cost["WATCH"])
		},
	}, all, account)
}

// TestKubernetesExample applies the example of replicas in a namespace with restricted Pod
// Security, and has the program check its state with the permissions of the example.
func TestKubernetesExample(t *testing.T) {
	c := startCluster(t)
	c.restricted("tickets")
	c.must(http.MethodPost, "/api/v1/namespaces/tickets/secrets", map[string]any{"metadata": map[string]any{"name": "ticketpark-state"}})
	c.apply("tickets", "../charts/ticketproxy/examples/replicas.yaml")
	providers := one(startSandbox(t, time.Hour), "ticketpark")
	p := newProxy(t, t.TempDir(), providers,
		"TICKETPROXY_STATE=kubernetes:ticketpark-state", "KUBECONFIG="+c.kubeconfigOf("tickets", "app"))
	cmd := exec.Command(binary, "check")
	cmd.Env = p.environ()
	if out, err := cmd.CombinedOutput(); err != nil ||
		!strings.Contains(string(out), "secret tickets/ticketpark-state can be read and written to\n") {
		t.Errorf("check: %v\n%s", err, out)
	}
	p.start()
	p.awaitUsable("ticketpark", 30*time.Second)
	p.mustServe("ticketpark")
}

// secretOf returns the Secret's data keys and annotations.
func (c *cluster) secretOf(namespace, name string) (keys []string, annotations map[string]string) {
	c.t.Helper()
	var s struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Data map[string][]byte `json:"data"`
	}
	c.ask(http.MethodGet, "/api/v1/namespaces/"+namespace+"/secrets/"+name, nil, &s)
	for key := range s.Data {
		keys = append(keys, key)
	}
	return keys, s.Metadata.Annotations
}

// TestKubernetesFromOutside logs in to the state of a cluster from another machine, as the
// administrator, and has a pod's account serve. The deletion of the Secret loses nothing.
func TestKubernetesFromOutside(t *testing.T) {
	c := startCluster(t)
	c.namespace("tickets")
	kubeconfig := c.account("tickets", "refresher", "state", false, stateVerbs...)
	providers := one(startSandbox(t, time.Hour), "socialboards")
	pod := newReplicas(t, c, 1, kubeconfig, providers)[0]
	run := func(kubeconfig, stdin string, args ...string) (string, int) {
		cmd := exec.Command(binary, args...)
		cmd.Env = append(pod.environ(), "KUBECONFIG="+kubeconfig)
		cmd.Stdin = strings.NewReader(stdin)
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	out, code := run(kubeconfig, "", "check")
	if code != 1 || !strings.Contains(out, "this user may not create secret tickets/state") ||
		!strings.Contains(out, "kubectl -n tickets create secret generic state") {
		t.Errorf("check without the right to create: exit code %d\n%s", code, out)
	}
	seed := providers["socialboards"].seed
	providers["socialboards"].seed = ""
	out, code = run(c.adminKubeconfig(), seed+"\n", "login", "socialboards")
	if code != 0 || !strings.Contains(out, "logged in, generation 1") {
		t.Fatalf("login: exit code %d\n%s", code, out)
	}
	if out, code = run(kubeconfig, "", "check"); code != 0 || !strings.Contains(out, "secret tickets/state can be read and written to") {
		t.Errorf("check: exit code %d\n%s", code, out)
	}
	keys, annotations := c.secretOf("tickets", "state")
	if fmt.Sprint(keys) != "[socialboards.json]" || annotations["ticketproxy/generation"] != "1" ||
		annotations["ticketproxy/state"] != "ready" || annotations["ticketproxy/expires"] == "" {
		t.Errorf("keys %v, annotations %v", keys, annotations)
	}
	pod.start()
	pod.awaitUsable("socialboards", 30*time.Second)
	pod.mustServe("socialboards")

	// A second login is taken up at once, by the watch.
	providers["socialboards"].reseed()
	seed, providers["socialboards"].seed = providers["socialboards"].seed, ""
	if out, code = run(c.adminKubeconfig(), seed+"\n", "login", "socialboards"); code != 0 {
		t.Fatalf("second login: exit code %d\n%s", code, out)
	}
	await(t, time.Second, "the pod has the new login", func() bool { return pod.status("socialboards").Generation >= 2 })

	path := "/api/v1/namespaces/tickets/secrets/state"
	c.must(http.MethodDelete, path, nil)
	c.must(http.MethodPost, "/api/v1/namespaces/tickets/secrets", map[string]any{"metadata": map[string]any{"name": "state"}})
	await(t, 30*time.Second, "the record is put back", func() bool {
		keys, _ := c.secretOf("tickets", "state")
		return len(keys) == 1
	})
	pod.mustServe("socialboards")

	// A role that is too small is told of, with the role that is needed.
	poor := c.account("tickets", "poor", "other", false, stateVerbs...)
	out, code = run(poor, "", "serve")
	if code == 0 || !strings.Contains(out, `cannot get resource \"secrets\"`) && !strings.Contains(out, `cannot get resource "secrets"`) ||
		!strings.Contains(out, "create role state-refresher --verb=get,watch,patch") {
		t.Errorf("serve without permissions: exit code %d\n%s", code, out)
	}
}
