package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const examples = "../charts/ticketproxy/examples/"

// An injectedPod is what is read of a Pod with a sidecar.
type injectedPod struct {
	Spec struct {
		InitContainers []struct {
			Name          string `json:"name"`
			Image         string `json:"image"`
			RestartPolicy string `json:"restartPolicy"`
			EnvFrom       []struct {
				ConfigMapRef struct {
					Name string `json:"name"`
				} `json:"configMapRef"`
			} `json:"envFrom"`
			Env []struct {
				Name, Value string
			} `json:"env"`
			StartupProbe, LivenessProbe, ReadinessProbe struct {
				HTTPGet struct {
					Path string `json:"path"`
				} `json:"httpGet"`
			}
			VolumeMounts []struct {
				Name      string `json:"name"`
				MountPath string `json:"mountPath"`
			} `json:"volumeMounts"`
		} `json:"initContainers"`
		Containers []map[string]any `json:"containers"`
		Volumes    []struct {
			Name   string `json:"name"`
			Secret struct {
				SecretName string `json:"secretName"`
				Optional   bool   `json:"optional"`
			} `json:"secret"`
		} `json:"volumes"`
	} `json:"spec"`
}

// names returns the names of the init containers.
func (p injectedPod) names() string {
	var all []string
	for _, container := range p.Spec.InitContainers {
		all = append(all, container.Name)
	}
	return strings.Join(all, " ")
}

// appTemplate is a Pod's template with what the restricted Pod Security Standard asks for.
func appTemplate(label string, initContainers ...string) template {
	container := func(name string) map[string]any {
		return map[string]any{"name": name, "image": "registry.example.com/" + name, "securityContext": map[string]any{
			"allowPrivilegeEscalation": false, "capabilities": map[string]any{"drop": []string{"ALL"}},
		}}
	}
	t := template{Metadata: map[string]any{}, Spec: map[string]any{
		"securityContext": map[string]any{
			"runAsNonRoot": true, "runAsUser": 65533, "seccompProfile": map[string]any{"type": "RuntimeDefault"},
		},
		"containers": []any{container("app")},
	}}
	if label != "" {
		t.Metadata["labels"] = map[string]string{"ticketproxy/inject": label}
	}
	var first []any
	for _, name := range initContainers {
		first = append(first, container(name))
	}
	if first != nil {
		t.Spec["initContainers"] = first
	}
	return t
}

// withoutToken is a template whose Pods get no volume from the ServiceAccount.
func withoutToken(t template) template {
	t.Spec["automountServiceAccountToken"] = false
	return t
}

// TestKubernetesInjection has the API server add the sidecar to Pods with the label, in a
// namespace with restricted Pod Security.
func TestKubernetesInjection(t *testing.T) {
	c := startCluster(t)
	c.restricted("tickets")
	c.apply("tickets", examples+"injection.yaml")
	c.apply("tickets", examples+"injected.yaml")
	attempts := 0
	// The API server learns of a policy some time after it is stored.
	await(t, 30*time.Second, "the policy counts", func() bool {
		attempts++
		var pod injectedPod
		c.create("tickets", fmt.Sprintf("attempt-%d", attempts), appTemplate("park"), &pod)
		return pod.names() != ""
	})
	for name, test := range map[string]struct {
		of   template
		want string // the names of the init containers
	}{
		"labelled":          {appTemplate("park"), "ticketproxy"},
		"without-a-volume":  {withoutToken(appTemplate("park")), "ticketproxy"},
		"before-others":     {appTemplate("park", "migrate", "warm-up"), "ticketproxy migrate warm-up"},
		"has-one":           {appTemplate("park", "migrate", "ticketproxy"), "migrate ticketproxy"},
		"without-the-label": {appTemplate("", "migrate"), "migrate"},
		"deployment":        {c.templateOf("tickets", "Deployment", "shop"), "ticketproxy"},
		"job":               {c.templateOf("tickets", "CronJob", "report"), "ticketproxy"},
	} {
		c.part(t, name, func(t *testing.T) {
			var pod injectedPod
			if code, answer := c.create("tickets", name, test.of, &pod); code != http.StatusCreated {
				t.Fatalf("%d\n%s", code, answer)
			}
			if pod.names() != test.want {
				t.Errorf("the init containers are %q, want %q", pod.names(), test.want)
			}
			if strings.HasPrefix(test.want, "ticketproxy") {
				mustBeInjected(t, pod)
			}
			// A Pod that was made from one with a sidecar gets no second one.
			var read template
			c.ask(http.MethodGet, fmt.Sprintf(collections["Pod"], "tickets")+name, nil, &read)
			read.Metadata = map[string]any{"labels": read.Metadata["labels"]}
			var again injectedPod
			if code, answer := c.create("tickets", name+"-again", read, &again); code != http.StatusCreated {
				t.Fatalf("made again: %d\n%s", code, answer)
			}
			if again.names() != test.want || len(again.Spec.Volumes) != len(pod.Spec.Volumes) {
				t.Errorf("made again, the init containers are %q, and the volumes %+v", again.names(), again.Spec.Volumes)
			}
		})
	}
	c.part(t, "unchanged", func(t *testing.T) {
		var with, without injectedPod
		c.create("tickets", "with", withoutToken(appTemplate("park")), &with)
		c.create("tickets", "without", withoutToken(appTemplate("")), &without)
		a, b := fmt.Sprint(with.Spec.Containers), fmt.Sprint(without.Spec.Containers)
		if a != b || len(with.Spec.Volumes) != 2 || len(without.Spec.Volumes) != 0 {
			t.Errorf("the app's container is\n%s\nwithout the label\n%s\nvolumes %v", a, b, with.Spec.Volumes)
		}
	})
	for name, label := range map[string]string{"capitals": "Park_1", "empty": ""} {
		c.part(t, name, func(t *testing.T) {
			of := appTemplate("park")
			of.Metadata["labels"] = map[string]string{"ticketproxy/inject": label}
			code, answer := c.create("tickets", name, of, nil)
			const want = ": the value of the label ticketproxy/inject must be the name of a ConfigMap\""
			if code != http.StatusForbidden || !strings.Contains(answer, want) {
				t.Errorf("%d\n%s", code, answer)
			}
		})
	}
	c.part(t, "the program", func(t *testing.T) { c.mustServeInjected(t) })
}

// mustBeInjected checks the sidecar that was added.
func mustBeInjected(t *testing.T, pod injectedPod) {
	t.Helper()
	sidecar := pod.Spec.InitContainers[0]
	var mounts, volumes []string
	for _, m := range sidecar.VolumeMounts {
		mounts = append(mounts, m.Name+" "+m.MountPath)
	}
	for _, v := range pod.Spec.Volumes {
		volumes = append(volumes, strings.TrimSpace(v.Name+" "+v.Secret.SecretName))
	}
	for what, ok := range map[string]bool{
		"is a native sidecar": sidecar.RestartPolicy == "Always",
		"has an image":        sidecar.Image == "ticketproxy:0.1.0",
		"has its ConfigMap":   len(sidecar.EnvFrom) == 1 && sidecar.EnvFrom[0].ConfigMapRef.Name == "park",
		"has its environment": len(sidecar.Env) == 2 && sidecar.Env[0].Value == "0.0.0.0:9090",
		"has its probes": sidecar.StartupProbe.HTTPGet.Path == "/startupz" &&
			sidecar.LivenessProbe.HTTPGet.Path == "/livez" && sidecar.ReadinessProbe.HTTPGet.Path == "/readyz",
		"mounts its own volumes alone": slices.Equal(mounts, []string{
			"ticketproxy-secrets /etc/ticketproxy/secrets",
			"ticketproxy-account /var/run/secrets/kubernetes.io/serviceaccount",
		}),
		"the Pod has the volumes": slices.Contains(volumes, "ticketproxy-secrets park") && slices.Contains(volumes, "ticketproxy-account"),
	} {
		if !ok {
			t.Errorf("the sidecar does not hold to this: %s\n%+v", what, pod.Spec)
		}
	}
}

// mustServeInjected runs the program with the environment and the ServiceAccount of the
// example's sidecar.
func (c *cluster) mustServeInjected(t *testing.T) {
	t.Helper()
	for _, name := range []string{"park-state", "park-state-access"} {
		c.must(http.MethodPost, "/api/v1/namespaces/tickets/secrets", map[string]any{"metadata": map[string]any{"name": name}})
	}
	var environment struct {
		Data map[string]string `json:"data"`
	}
	c.ask(http.MethodGet, fmt.Sprintf(collections["ConfigMap"], "tickets")+"park", nil, &environment)
	park := startSandbox(t, time.Hour)["ticketpark"]
	dir := t.TempDir()
	env := []string{"KUBECONFIG=" + c.kubeconfigOf("tickets", "park"), "TICKETPROXY_ADMIN_LISTEN=off"}
	env = append(env, serviceLinks("TICKETPROXY")...)
	env = append(env, serviceLinks("TICKETPROXY_STATE")...)
	files := map[string]string{"refresh-token": park.seed}
	settings := map[string]string{}
	for _, setting := range park.settings {
		name, value, _ := strings.Cut(setting, "=")
		settings["TICKETPROXY_"+name] = value
	}
	files["client-secret"] = settings["TICKETPROXY_CLIENT_SECRET"]
	for name, value := range environment.Data {
		if file, ok := strings.CutPrefix(value, "/etc/ticketproxy/secrets/"); ok {
			value = filepath.Join(dir, file)
			if err := os.WriteFile(value, []byte(files[file]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		env = append(env, name+"="+value)
	}
	for _, name := range []string{"TICKETPROXY_CLIENT_ID", "TICKETPROXY_UPSTREAM_URL", "TICKETPROXY_TOKEN_URL"} {
		env = append(env, name+"="+settings[name])
	}
	cmd := exec.Command(binary, "check")
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "SERVICE") ||
		!strings.Contains(string(out), "secret tickets/park-state can be read and written to") {
		t.Errorf("check: %v\n%s", err, out)
	}
}

// serviceLinks are the variables that the kubelet sets for a Service in the Pod's namespace,
// unless the Pod has enableServiceLinks: false.
func serviceLinks(service string) []string {
	return []string{
		service + "_SERVICE_HOST=10.0.0.1", service + "_SERVICE_PORT=80", service + "_SERVICE_PORT_HTTP=80",
		service + "_PORT=tcp://10.0.0.1:80", service + "_PORT_80_TCP=tcp://10.0.0.1:80",
		service + "_PORT_80_TCP_PROTO=tcp", service + "_PORT_80_TCP_PORT=80", service + "_PORT_80_TCP_ADDR=10.0.0.1",
	}
}
