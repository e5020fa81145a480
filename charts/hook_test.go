package charts

import (
	"bufio"
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// hookPod returns the Pod of helm test, with its containers check and ready.
func hookPod(t *testing.T, objects map[string]runtime.Object) (pod *corev1.Pod, check, ready corev1.Container) {
	t.Helper()
	pod, ok := objects["Pod"].(*corev1.Pod)
	if !ok || len(pod.Spec.InitContainers) != 1 || len(pod.Spec.Containers) != 1 {
		t.Fatalf("helm test has no Pod with two containers: %+v", pod)
	}
	return pod, pod.Spec.InitContainers[0], pod.Spec.Containers[0]
}

// TestHookIsLikeTheGateway tests that check has what the gateway has, but for its volume, and
// that ready reaches the gateway.
func TestHookIsLikeTheGateway(t *testing.T) {
	t.Parallel()
	for _, file := range files(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			objects := render(t, "-f", file)
			pod, check, ready := hookPod(t, objects)
			gateway := objects["Deployment"].(*appsv1.Deployment).Spec.Template.Spec
			service := objects["Service"].(*corev1.Service)
			checkRestricted(t, *pod.Spec.SecurityContext, *check.SecurityContext)
			checkRestricted(t, *pod.Spec.SecurityContext, *ready.SecurityContext)
			deleted := pod.Annotations["helm.sh/hook-delete-policy"]
			for what, ok := range map[string]bool{
				"is a hook":                         pod.Annotations["helm.sh/hook"] == "test",
				"is deleted before the next test":   strings.Contains(deleted, "before-hook-creation"),
				"stays when it has failed":          !strings.Contains(deleted, "hook-failed"),
				"runs once":                         pod.Spec.RestartPolicy == corev1.RestartPolicyNever,
				"ends":                              pod.Spec.ActiveDeadlineSeconds != nil,
				"gets no requests from the Service": !covers(service.Spec.Selector, pod.Labels),
				"gets no token":                     !*pod.Spec.AutomountServiceAccountToken && !*pod.Spec.EnableServiceLinks,
				"has the gateway's account":         pod.Spec.ServiceAccountName == gateway.ServiceAccountName,
				"has the gateway's image":           check.Image == gateway.Containers[0].Image && ready.Image == check.Image,
				"checks":                            len(check.Args) == 1 && check.Args[0] == "check",
				"waits":                             ready.Args[0] == "wait",
				"asks the Service":                  environment(ready)["TICKETPROXY_ADMIN_LISTEN"] == service.Name+":9090",
			} {
				if !ok {
					t.Errorf("the Pod of helm test does not hold to this: %s", what)
				}
			}
			if admin := service.Spec.Ports[len(service.Spec.Ports)-1]; admin.Port != 9090 {
				t.Errorf("the Service's last port is %+v, want that of health", admin)
			}
			env := environment(check)
			for name, value := range environment(gateway.Containers[0]) {
				if env[name] != value {
					t.Errorf("%s of check is %q, want the gateway's %q", name, env[name], value)
				}
				delete(env, name)
			}
			for name, value := range env {
				if !strings.HasSuffix(name, "_REFRESH_TOKEN") || value != "not-a-token" {
					t.Errorf("check has %s, which the gateway has not", name)
				}
			}
			if len(check.VolumeMounts) != len(gateway.Containers[0].VolumeMounts) {
				t.Errorf("check mounts %v, the gateway %v", check.VolumeMounts, gateway.Containers[0].VolumeMounts)
			}
			mounted(t, pod.Spec, check)
			for _, v := range pod.Spec.Volumes {
				if v.PersistentVolumeClaim != nil {
					t.Errorf("the Pod has the claim of volume %s, and could wait for it without end", v.Name)
				}
			}
			if policy, ok := objects["NetworkPolicy"].(*networkingv1.NetworkPolicy); ok {
				mustAllowHealth(t, policy, pod.Labels)
			}
		})
	}
}

// mustAllowHealth checks that the policy allows Pods with the labels to reach port 9090, and
// no other.
func mustAllowHealth(t *testing.T, policy *networkingv1.NetworkPolicy, labels map[string]string) {
	t.Helper()
	allowed := false
	for _, rule := range policy.Spec.Ingress {
		for _, from := range rule.From {
			if from.NamespaceSelector == nil && from.PodSelector != nil && covers(from.PodSelector.MatchLabels, labels) {
				allowed = true
				if len(rule.Ports) != 1 || rule.Ports[0].Port.IntVal != 9090 {
					t.Errorf("the NetworkPolicy lets helm test reach %v", rule.Ports)
				}
			}
		}
	}
	if !allowed {
		t.Errorf("the NetworkPolicy does not let helm test reach the gateway: %+v", policy.Spec.Ingress)
	}
}

func TestHookTurnedOff(t *testing.T) {
	t.Parallel()
	objects := render(t, "-f", chart+"/ci/one-values.yaml", "--set", "tests.enabled=false")
	if objects["Pod"] != nil {
		t.Error("there is a Pod for helm test")
	}
	if rules := objects["NetworkPolicy"].(*networkingv1.NetworkPolicy).Spec.Ingress; len(rules) != 1 {
		t.Errorf("the NetworkPolicy has a rule for helm test: %+v", rules)
	}
}

// TestHookWithExtensions tests what helm test makes of the user's own variables and volumes.
func TestHookWithExtensions(t *testing.T) {
	t.Parallel()
	values := filepath.Join(t.TempDir(), "values.yaml")
	const text = `
image: {repository: r}
gateway: {allowUnauthenticated: true}
upstreams:
  park: {provider: ticketpark, clientId: x, existingSecret: park, existingSecretKeys: {refreshToken: ""}}
  shop: {provider: openticket, clientId: x, clientSecret: x, port: 8081}
  own: {provider: generic, clientId: x, clientSecret: x, port: 8082, grant: client_credentials}
  seats: {account: park, port: 8083}
extraEnv: [{name: TICKETPROXY_PARK_REFRESH_TOKEN_FILE, value: /more/token}]
extraVolumes:
  - {name: more, secret: {secretName: more, defaultMode: 0440}}
  - {name: disk, persistentVolumeClaim: {claimName: disk}}
extraVolumeMounts: [{name: more, mountPath: /more}, {name: disk, mountPath: /disk}]
affinity:
  podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone}]}
`
	if err := os.WriteFile(values, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	pod, check, _ := hookPod(t, render(t, "-f", values))
	volumes := map[string]corev1.Volume{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = v
	}
	env := environment(check)
	for what, ok := range map[string]bool{
		"the user's Secret":                  volumes["more"].Secret != nil,
		"no claim of the user":               volumes["disk"].EmptyDir != nil && volumes["disk"].PersistentVolumeClaim == nil,
		"no seed beside the user's":          env["TICKETPROXY_PARK_REFRESH_TOKEN"] == "",
		"a seed for an account with a login": env["TICKETPROXY_SHOP_REFRESH_TOKEN"] != "",
		"no seed for client_credentials":     env["TICKETPROXY_OWN_REFRESH_TOKEN"] == "",
		"no seed for a shared account":       env["TICKETPROXY_SEATS_REFRESH_TOKEN"] == "",
		"no wish to be away from the user's": pod.Spec.Affinity == nil,
	} {
		if !ok {
			t.Errorf("the Pod of helm test does not have this: %s", what)
		}
	}
}

// TestHookWithTheProgram runs the Pod's two containers with the real program and the sandbox:
// check passes and makes no token request, and wait reaches a gateway that has the chart's
// environment, at an address off loopback and by the Service's name.
func TestHookWithTheProgram(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	objects := render(t, "-f", chart+"/ci/one-values.yaml", "--set", "upstreams.park.refreshToken=")
	_, check, ready := hookPod(t, objects)
	gateway := objects["Deployment"].(*appsv1.Deployment).Spec.Template.Spec.Containers[0]
	vendor := startSandbox(t)
	origin := vendor["TICKETPROXY_UPSTREAM_URL"]
	run := func(c corev1.Container, changed map[string]string) *exec.Cmd {
		env := environment(c)
		for name, value := range changed {
			env[name] = value
		}
		if secret := filepath.Join(t.TempDir(), "client-secret"); env["TICKETPROXY_PARK_CLIENT_SECRET_FILE"] != "" {
			if err := os.WriteFile(secret, []byte(vendor["TICKETPROXY_CLIENT_SECRET"]), 0o600); err != nil {
				t.Fatal(err)
			}
			env["TICKETPROXY_PARK_CLIENT_SECRET_FILE"] = secret
		}
		cmd := exec.CommandContext(ctx, program(t, "TICKETPROXY"), c.Args...)
		cmd.Env = []string{}
		for name, value := range env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		return cmd
	}
	sandboxed := map[string]string{
		"TICKETPROXY_PARK_UPSTREAM_URL": origin,
		"TICKETPROXY_PARK_TOKEN_URL":    vendor["TICKETPROXY_TOKEN_URL"],
		"TICKETPROXY_PARK_CLIENT_ID":    vendor["TICKETPROXY_CLIENT_ID"],
		"TICKETPROXY_STATE":             "file:" + filepath.Join(t.TempDir(), "ticketproxy"),
	}
	out, err := run(check, sandboxed).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "begins with its seed") {
		t.Errorf("check: %v\n%s", err, out)
	}
	state := strings.ReplaceAll(get(t, origin+"/_sandbox/", ""), " ", "")
	if !strings.Contains(state, `"token_requests":0`) {
		t.Errorf("check has made a token request: %s", state)
	}

	admin := net.JoinHostPort(offLoopback(t), freePort(t))
	sandboxed["TICKETPROXY_ADMIN_LISTEN"] = admin
	sandboxed["TICKETPROXY_PARK_LISTEN"] = "127.0.0.1:" + freePort(t)
	sandboxed["TICKETPROXY_PARK_REFRESH_TOKEN"] = vendor["TICKETPROXY_REFRESH_TOKEN"]
	serve := run(gateway, sandboxed)
	serve.Stderr = t.Output()
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		serve.Process.Kill()
		serve.Wait()
	})
	if out, err := run(ready, map[string]string{"TICKETPROXY_ADMIN_LISTEN": admin}).CombinedOutput(); err != nil {
		t.Errorf("wait: %v\n%s", err, out)
	}
	get(t, "http://"+admin+"/readyz", environment(ready)["TICKETPROXY_ADMIN_LISTEN"])
}

// startSandbox runs the program's sandbox until the test ends, and returns what it prints of
// Ticketpark.
func startSandbox(t *testing.T) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "TICKETPROXY"), "sandbox", "--listen", "127.0.0.1:0")
	cmd.Env = []string{}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	vendor := map[string]string{}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		vendor[name] = value
		if name == "TICKETPROXY_REFRESH_TOKEN" && vendor["TICKETPROXY_PROVIDER"] == "ticketpark" {
			return vendor
		}
	}
	t.Fatal("the sandbox ended before it printed its variables")
	return nil
}

// offLoopback returns an IPv4 address of this machine that is not on loopback.
func offLoopback(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	t.Skip("this machine has no address off loopback")
	return ""
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
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

// get requests a URL with a Host, expects 200, and returns the body.
func get(t *testing.T, url, host string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body strings.Builder
	if _, err := bufio.NewReader(res.Body).WriteTo(&body); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Errorf("%s with Host %q: %s, want 200: %s", url, host, res.Status, body.String())
	}
	return body.String()
}

// TestMetadata tests that Chart.yaml has the project's license, and icon.svg as its icon.
func TestMetadata(t *testing.T) {
	t.Parallel()
	read := func(file string) []byte {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var metadata struct {
		Icon        string
		Annotations map[string]string
	}
	if err := yaml.Unmarshal(read(chart+"/Chart.yaml"), &metadata); err != nil {
		t.Fatal(err)
	}
	icon := "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(read(chart+"/icon.svg"))
	if metadata.Icon != icon {
		t.Errorf("the icon in Chart.yaml is not that of icon.svg, which is\n%s", icon)
	}
	license := metadata.Annotations["artifacthub.io/license"]
	title, _, _ := strings.Cut(strings.TrimSpace(string(read("../LICENSE"))), "\n")
	if license != "Apache-2.0" || title != "Apache License" {
		t.Errorf("the chart's license is %q, and LICENSE begins with %q", license, title)
	}
}
