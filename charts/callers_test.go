package charts

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	withCallers = chart + "/ci/callers-values.yaml"
	nobody      = chart + "/ci/nobody-values.yaml"
)

// callersOf returns CALLERS_FILE of a rendering; empty if nobody is asked who calls.
func callersOf(objects map[string]runtime.Object) string {
	for name, object := range objects {
		if strings.HasPrefix(name, "ConfigMap/") && strings.HasSuffix(name, "-callers") {
			return object.(*corev1.ConfigMap).Data["callers.yaml"]
		}
	}
	return ""
}

// checkCaller runs check --caller with the gateway's environment and CALLERS_FILE of a
// rendering.
func checkCaller(t *testing.T, objects map[string]runtime.Object, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cmd := exec.CommandContext(t.Context(), program(t, "TICKETPROXY"), append([]string{"check", "--caller"}, args...)...)
	cmd.Env = []string{}
	for name, value := range environment(objects["Deployment"].(*appsv1.Deployment).Spec.Template.Spec.Containers[0]) {
		if strings.HasSuffix(name, "_FILE") {
			content := "secret"
			if name == "TICKETPROXY_CALLERS_FILE" {
				content = callersOf(objects)
			}
			value = write(name, content)
		}
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestCallers tests that the program reads the callers of the values as they are meant, and
// what it needs for them.
func TestCallers(t *testing.T) {
	t.Parallel()
	objects := render(t, "-f", withCallers)
	for _, test := range []struct {
		caller, method, path string
		allowed              bool
	}{
		{"shop", "GET", "/events/1", true},
		{"shop", "POST", "/events/1", false},
		{"erp", "DELETE", "/anything", true},
		{"nightly", "GET", "/events", true},
	} {
		out, err := checkCaller(t, objects, test.caller, test.method, "https://api.ticketpark.ch"+test.path)
		if (err == nil) != test.allowed {
			t.Errorf("%s %s %s: %v\n%s", test.caller, test.method, test.path, err, out)
		}
	}
	pod := objects["Deployment"].(*appsv1.Deployment).Spec.Template.Spec
	container := pod.Containers[0]
	env := environment(container)
	for name, want := range map[string]string{
		"TICKETPROXY_ALLOW_UNAUTHENTICATED": "",
		"TICKETPROXY_TOKEN_LISTEN":          "0.0.0.0:8090",
		"TICKETPROXY_AUDIT_LOG":             "stdout",
		"TICKETPROXY_AUDIT_REQUIRED":        "true",
	} {
		if env[name] != want {
			t.Errorf("%s = %q, want %q", name, env[name], want)
		}
	}
	if !slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount"
	}) {
		t.Error("the gateway has no token, by which it learns of the cluster's issuer")
	}
	for _, m := range container.VolumeMounts {
		if m.SubPath != "" {
			t.Errorf("the volume %s does not follow changes", m.Name)
		}
	}
	i := slices.IndexFunc(objects["Service"].(*corev1.Service).Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == "tokens" })
	if i < 0 || portNamed(container, "tokens") != 8090 {
		t.Error("the listener for tokens cannot be reached")
	}
	if *objects["Service"].(*corev1.Service).Spec.Ports[0].AppProtocol != "https" {
		t.Error("the Service says that its port speaks plain HTTP")
	}
	if ports := objects["NetworkPolicy"].(*networkingv1.NetworkPolicy).Spec.Ingress[0].Ports; len(ports) != 2 || ports[1].Port.IntVal != 8090 {
		t.Errorf("the NetworkPolicy allows %v", ports)
	}
}

// TestNobody tests the callers of a fresh installation: nobody may call, and ServiceAccounts
// need only be named.
func TestNobody(t *testing.T) {
	t.Parallel()
	objects := render(t, "-f", nobody)
	if env := environment(objects["Deployment"].(*appsv1.Deployment).Spec.Template.Spec.Containers[0]); env["TICKETPROXY_ALLOW_UNAUTHENTICATED"] != "" {
		t.Error("the gateway asks nobody who calls")
	}
	if out, err := checkCaller(t, objects, "shop", "GET", "/events"); err == nil || !strings.Contains(out, "there are no callers") {
		t.Errorf("%v\n%s", err, out)
	}
	objects = render(t, "-f", nobody, "--set-json",
		`callers.callers={"shop":{"serviceAccount":"tickets/shop","may":[{"upstream":"park"}]}}`)
	if out, err := checkCaller(t, objects, "shop", "GET", "/events"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestNotes tests what a person is told who has installed the chart.
func TestNotes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"fresh":       {[]string{"-f", nobody}, "NOBODY MAY CALL YET"},
		"callers":     {[]string{"-f", withCallers}, "These callers may call: erp, nightly, shop."},
		"tokens":      {[]string{"-f", withCallers}, "https://tickets-ticketproxy.shop:8090/token/NAME"},
		"nobody asks": {[]string{"-f", chart + "/ci/one-values.yaml"}, "The gateway does not ask who calls"},
	} {
		// Without a cluster, only a dry run of an installation shows the notes.
		args := []string{"install", "tickets", chart, "--dry-run=client", "--namespace", "shop"}
		out, err := helm(t, append(args, test.args...)...)
		if err != nil || !strings.Contains(out, test.want) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestOldValues tests an upgrade with --reuse-values: values that the chart did not have before
// are missing.
func TestOldValues(t *testing.T) {
	t.Parallel()
	objects := render(t, "-f", chart+"/ci/one-values.yaml", "--set", "callers=null,tls=null,tokenListen=null,audit=null")
	pod := objects["Deployment"].(*appsv1.Deployment).Spec.Template.Spec
	env := environment(pod.Containers[0])
	if env["TICKETPROXY_ALLOW_UNAUTHENTICATED"] != "true" || env["TICKETPROXY_CALLERS_FILE"] != "" || objects["ConfigMap"] != nil {
		t.Errorf("callers are asked: %v", env)
	}
	if len(pod.Volumes) != 2 {
		t.Errorf("the volumes are %v", pod.Volumes)
	}
}

// TestSchemaOfCallers tests that the schema of values has that of CALLERS_FILE.
func TestSchemaOfCallers(t *testing.T) {
	t.Parallel()
	read := func(path string) (schema struct {
		Properties, Definitions map[string]any
	}) {
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, &schema)
		}
		if err != nil {
			t.Fatal(err)
		}
		return schema
	}
	values, callers := read(chart+"/values.schema.json"), read("../config/callers/callers.schema.json")
	if !reflect.DeepEqual(values.Properties["callers"].(map[string]any)["properties"], any(callers.Properties)) {
		t.Error("properties of callers differ from those of config/callers/callers.schema.json: copy them")
	}
	for name, definition := range callers.Definitions {
		if !reflect.DeepEqual(values.Definitions[name], definition) {
			t.Errorf("the definition of %s differs from that of config/callers/callers.schema.json: copy it", name)
		}
	}
}

// TestCallerExample tests that the app of the example reaches the chart's gateway: by its
// NetworkPolicy, with the audience of its issuer, and as a caller that the example's comment
// names.
func TestCallerExample(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(chart + "/examples/caller.yaml")
	if err != nil {
		t.Fatal(err)
	}
	app := decode(t, string(data))["Deployment"].(*appsv1.Deployment)
	var values strings.Builder
	for line := range strings.Lines(string(data)) {
		if line, ok := strings.CutPrefix(line, "#   "); ok {
			values.WriteString(line)
		}
	}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	gateway := render(t, "-f", nobody, "-f", file, "--namespace", "tickets")
	policy := gateway["NetworkPolicy"].(*networkingv1.NetworkPolicy).Spec
	if !covers(policy.Ingress[0].From[0].PodSelector.MatchLabels, app.Spec.Template.Labels) {
		t.Error("the NetworkPolicy keeps the app out")
	}
	audience := app.Spec.Template.Spec.Volumes[0].Projected.Sources[0].ServiceAccountToken.Audience
	account := "tickets/" + app.Spec.Template.Spec.ServiceAccountName
	for _, want := range []string{"audience: " + audience + "\n", "serviceAccount: " + account + "\n"} {
		if callers := callersOf(gateway); !strings.Contains(callers, want) {
			t.Errorf("CALLERS_FILE lacks %q:\n%s", want, callers)
		}
	}
	service := gateway["Service"].(*corev1.Service)
	url := environment(app.Spec.Template.Spec.Containers[0])["TICKETPARK_URL"]
	if want := "http://" + service.Name + ".tickets:8080"; url != want {
		t.Errorf("the app calls %s, and the gateway is %s", url, want)
	}
	if out, err := checkCaller(t, gateway, "shop", "GET", "https://api.ticketpark.ch/api/events"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
