package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// helmVariable gives the path of Helm.
const helmVariable = "HELM"

const chart = "../charts/ticketproxy"

// chartValues are a gateway's whose state is in a Secret. Its seed comes by a login.
const chartValues = `
image: {repository: registry.example.com/ticketproxy}
gateway: {allowUnauthenticated: true}
replicaCount: 2
state: {type: kubernetes}
upstreams:
  socialboards: {provider: socialboards, clientId: x, existingSecret: boards, existingSecretKeys: {refreshToken: ""}}
`

// helm runs Helm as the cluster's administrator. Where there is none the test is skipped, or
// fails with -complete.
func (c *cluster) helm(args ...string) (string, error) {
	c.t.Helper()
	path := os.Getenv(helmVariable)
	if path == "" && *complete {
		c.t.Fatalf("%s is not set, and -complete allows no skipped test", helmVariable)
	}
	if path == "" {
		c.t.Skipf("SKIPPED: %s is not set", helmVariable)
	}
	home := c.t.TempDir()
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.adminKubeconfig(),
		"HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *cluster) mustHelm(args ...string) string {
	c.t.Helper()
	out, err := c.helm(args...)
	if err != nil {
		c.t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// valuesFile writes values, and returns the path of the file.
func valuesFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A storedSecret is a Secret of the API.
type storedSecret struct {
	Metadata struct {
		UID         string            `json:"uid"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Data map[string][]byte `json:"data"`
}

func (c *cluster) stored(namespace, name string) storedSecret {
	c.t.Helper()
	var s storedSecret
	c.ask(http.MethodGet, fmt.Sprintf(collections["Secret"], namespace)+name, nil, &s)
	return s
}

// TestKubernetesChart is a walk with the chart: it is installed, an account is logged in from
// outside, and the gateway serves; upgrades, an uninstallation and another installation lose
// nothing.
func TestKubernetesChart(t *testing.T) {
	c := startCluster(t)
	c.restricted("tickets")
	values := valuesFile(t, chartValues)
	out := c.mustHelm("install", "tickets", chart, "-n", "tickets", "-f", values)
	const state = "tickets-ticketproxy-state"
	if !strings.Contains(out, "TICKETPROXY_STATE=kubernetes:tickets/"+state+" ticketproxy login") {
		t.Errorf("the notes do not tell how to log in:\n%s", out)
	}
	if strings.Contains(strings.ToLower(out), "warning") {
		t.Errorf("the installation has warnings:\n%s", out)
	}
	if s := c.stored("tickets", state); len(s.Data) != 0 {
		t.Errorf("a fresh state has data")
	}
	c.part(t, "Pods", func(t *testing.T) {
		of := c.templateOf("tickets", "Deployment", "tickets-ticketproxy")
		if code, answer := c.create("tickets", "gateway", of, nil); code != http.StatusCreated {
			t.Errorf("a Pod of the Deployment: %d\n%s", code, answer)
		}
	})

	providers := one(startSandbox(t, 5*time.Second), "socialboards")
	seed := providers["socialboards"].seed
	providers["socialboards"].seed = ""
	newGateway := func() *proxy {
		return newProxy(t, t.TempDir(), providers, c.deployedState("tickets", "tickets-ticketproxy"),
			"KUBECONFIG="+c.kubeconfigOf("tickets", "tickets-ticketproxy"))
	}
	gateway := newGateway()
	login := exec.Command(binary, "login", "socialboards")
	login.Env = append(gateway.environ(), "KUBECONFIG="+c.adminKubeconfig())
	login.Stdin = strings.NewReader(seed + "\n")
	if out, err := login.CombinedOutput(); err != nil || !strings.Contains(string(out), "logged in, generation 1") {
		t.Fatalf("login: %v\n%s", err, out)
	}
	gateway.start()
	gateway.awaitUsable("socialboards", 30*time.Second)
	gateway.mustServe("socialboards")
	status := exec.Command(binary, "status")
	status.Env = gateway.environ()
	if out, err := status.CombinedOutput(); err != nil || !strings.Contains(string(out), "socialboards  ready") {
		t.Errorf("status: %v\n%s", err, out)
	}

	uid := c.stored("tickets", state).Metadata.UID
	last := 0
	// unharmed checks that the Secret still is the same one, and that the account goes on.
	unharmed := func(after string) {
		t.Helper()
		s := c.stored("tickets", state)
		if s.Metadata.UID != uid || len(s.Data["socialboards.json"]) == 0 || s.Metadata.Annotations["ticketproxy/generation"] == "" {
			t.Fatalf("after %s, the state is not what it was: %v", after, s.Metadata)
		}
		now := gateway.status("socialboards").Generation
		if now < last || now == 0 {
			t.Errorf("after %s, the generation is %d, and was %d", after, now, last)
		}
		last = now
		gateway.mustServe("socialboards")
	}
	unharmed("the login")
	for _, args := range [][]string{
		{"--set", "replicaCount=3"},
		{"--set", "log.level=debug", "--set", "state.annotations.team=tickets"},
		{"--set", "autoscaling.enabled=true", "--server-side=false"},
		{"--set", "resources.limits.memory=256Mi", "--server-side=true"},
	} {
		c.mustHelm(append([]string{"upgrade", "tickets", chart, "-n", "tickets", "-f", values}, args...)...)
		unharmed("an upgrade with " + strings.Join(args, " "))
	}
	c.mustHelm("rollback", "tickets", "1", "-n", "tickets")
	unharmed("a rollback")

	gateway.terminate(30 * time.Second)
	c.mustHelm("uninstall", "tickets", "-n", "tickets")
	if s := c.stored("tickets", state); s.Metadata.UID != uid || len(s.Data) != 1 {
		t.Errorf("after the uninstallation, the state is not what it was: %v", s.Metadata)
	}
	c.mustHelm("install", "tickets", chart, "-n", "tickets", "-f", values)
	gateway = newGateway()
	gateway.start()
	gateway.awaitUsable("socialboards", 30*time.Second)
	unharmed("another installation")
	await(t, 30*time.Second, "the generation goes on", func() bool { return gateway.status("socialboards").Generation > last })
	gateway.terminate(30 * time.Second)

	c.mustHelm("uninstall", "tickets", "-n", "tickets")
	// Another release finds a state that it has not made, and leaves it as it is.
	c.mustHelm("install", "other", chart, "-n", "tickets", "-f", values, "--set", "fullnameOverride=tickets-ticketproxy")
	c.mustHelm("uninstall", "other", "-n", "tickets")
	c.mustHelm("install", "third", chart, "-n", "tickets", "-f", values, "--set", "state.existingSecret="+state)
	gateway = newProxy(t, t.TempDir(), providers, c.deployedState("tickets", "third-ticketproxy"),
		"KUBECONFIG="+c.kubeconfigOf("tickets", "third-ticketproxy"))
	gateway.start()
	gateway.awaitUsable("socialboards", 30*time.Second)
	unharmed("other releases")

	// A replacement takes the data away. The gateway has them, and writes them again.
	gateway.terminate(30 * time.Second)
	c.mustHelm("uninstall", "third", "-n", "tickets")
	c.mustHelm("install", "tickets", chart, "-n", "tickets", "-f", values)
	gateway = newGateway()
	gateway.start()
	gateway.awaitUsable("socialboards", 30*time.Second)
	c.mustHelm("upgrade", "tickets", chart, "-n", "tickets", "-f", values, "--force-replace", "--server-side=false")
	await(t, 30*time.Second, "the record is put back", func() bool { return len(c.stored("tickets", state).Data) == 1 })
	if n := providers["socialboards"].counters(); n.MaxRedemptions != 1 || n.Reuses != 0 {
		t.Errorf("%+v, want no refresh token redeemed twice", n)
	}
}

// deployedState returns the variable STATE of a Deployment.
func (c *cluster) deployedState(namespace, name string) string {
	c.t.Helper()
	containers, _ := c.templateOf(namespace, "Deployment", name).Spec["containers"].([]any)
	for _, v := range containers[0].(map[string]any)["env"].([]any) {
		variable := v.(map[string]any)
		if variable["name"] == "TICKETPROXY_STATE" {
			return fmt.Sprintf("TICKETPROXY_STATE=%v", variable["value"])
		}
	}
	c.t.Fatalf("%s has no TICKETPROXY_STATE", name)
	return ""
}

// TestKubernetesChartApplied applies what the chart renders, as tools for GitOps do, again and
// again. The state's data stay.
func TestKubernetesChartApplied(t *testing.T) {
	c := startCluster(t)
	c.restricted("tickets")
	values := valuesFile(t, chartValues)
	render := func(args ...string) string {
		return c.mustHelm(append([]string{"template", "tickets", chart, "-n", "tickets", "-f", values, "--no-hooks"}, args...)...)
	}
	const state = "tickets-ticketproxy-state"
	c.applyText("tickets", render())
	providers := one(startSandbox(t, 5*time.Second), "socialboards")
	gateway := newProxy(t, t.TempDir(), providers, c.deployedState("tickets", "tickets-ticketproxy"),
		"KUBECONFIG="+c.kubeconfigOf("tickets", "tickets-ticketproxy"))
	gateway.start()
	gateway.awaitUsable("socialboards", 30*time.Second)
	before := c.stored("tickets", state)
	for range 2 {
		c.applyText("tickets", render("--set", "commonLabels.team=tickets"))
		after := c.stored("tickets", state)
		if after.Metadata.UID != before.Metadata.UID || len(after.Data["socialboards.json"]) == 0 ||
			after.Metadata.Annotations["ticketproxy/generation"] == "" {
			t.Errorf("the state is not what it was: %v", after.Metadata)
		}
	}
	// What kubectl apply without --server-side sends is a patch of what the manifest has.
	c.must(http.MethodPatch, fmt.Sprintf(collections["Secret"], "tickets")+state, map[string]any{
		"metadata": map[string]any{"labels": map[string]string{"team": "other"}}, "type": "Opaque",
	})
	if len(c.stored("tickets", state).Data) == 0 {
		t.Error("the state has no data")
	}
	gateway.mustServe("socialboards")
}

// TestKubernetesChartNotKept uninstalls a gateway whose state is not to be kept. The program
// has marked the Secrets for upgrades; an uninstallation removes them all the same.
func TestKubernetesChartNotKept(t *testing.T) {
	c := startCluster(t)
	c.restricted("tickets")
	c.mustHelm("install", "tickets", chart, "-n", "tickets", "-f", valuesFile(t, chartValues), "--set", "state.keep=false")
	gateway := newProxy(t, t.TempDir(), one(startSandbox(t, time.Hour), "socialboards"),
		c.deployedState("tickets", "tickets-ticketproxy"), "KUBECONFIG="+c.kubeconfigOf("tickets", "tickets-ticketproxy"))
	gateway.start()
	gateway.awaitUsable("socialboards", 30*time.Second)
	names := []string{"tickets-ticketproxy-state", "tickets-ticketproxy-state-access"}
	for _, name := range names {
		await(t, 30*time.Second, name+" is marked", func() bool {
			return c.stored("tickets", name).Metadata.Annotations["helm.sh/resource-policy"] == "keep"
		})
	}
	gateway.terminate(30 * time.Second)
	c.mustHelm("uninstall", "tickets", "-n", "tickets")
	for _, name := range names {
		if s := c.storedOrNone("tickets", name); s.Metadata.UID != "" {
			t.Errorf("%s is still there: %+v", name, s.Metadata)
		}
	}
}
