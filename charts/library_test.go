package charts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// umbrella is a chart that uses the sidecar's library chart as its README says.
var umbrella = map[string]string{
	"Chart.yaml": `{apiVersion: v2, name: shop, version: 0.1.0, dependencies: [{name: ticketproxy-sidecar, version: 0.1.0}]}`,
	"values.yaml": `
ticketproxy:
  image: registry.example.com/ticketproxy:0.1.0
  secret: park
  state: park-state
  serviceAccount: shop
  env:
    TICKETPROXY_PROVIDER: ticketpark
    TICKETPROXY_CLIENT_ID: "43_example"
    TICKETPROXY_CLIENT_SECRET_FILE: /etc/ticketproxy/secrets/client-secret
    TICKETPROXY_REFRESH_TOKEN_FILE: /etc/ticketproxy/secrets/refresh-token
`,
	"templates/shop.yaml": `
{{- $sidecar := merge (dict "root" $) .Values.ticketproxy }}
apiVersion: v1
kind: Pod
metadata:
  name: shop
spec:
  serviceAccountName: shop
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 65
  securityContext:
    fsGroupChangePolicy: OnRootMismatch
  initContainers:
    {{- include "ticketproxy.sidecar" $sidecar | nindent 4 }}
  containers:
    - name: shop
      image: shop
  volumes:
    {{- include "ticketproxy.sidecar.volumes" $sidecar | nindent 4 }}
---
{{ include "ticketproxy.sidecar.state" $sidecar }}
`,
}

// TestLibrary renders a chart that has the sidecar by the library chart.
func TestLibrary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "charts", "ticketproxy-sidecar"), os.DirFS("ticketproxy-sidecar")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "templates"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range umbrella {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	template := func(args ...string) (string, error) {
		return helm(t, append([]string{"template", "tickets", dir, cluster, "--namespace", "shop"}, args...)...)
	}
	out, err := template()
	if err != nil {
		t.Fatalf("helm template: %v\n%s", err, out)
	}
	objects := decode(t, out)
	pod := objects["Pod"].(*corev1.Pod).Spec
	sidecar := pod.InitContainers[0]
	if sidecar.RestartPolicy == nil || *sidecar.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("the init container is not a sidecar")
	}
	checkPod(t, pod, sidecar, "")
	if got := environment(sidecar)["TICKETPROXY_STATE"]; got != "kubernetes:shop/park-state" {
		t.Errorf("the state is %q", got)
	}
	if objects["Secret/park-state"] == nil || objects["Secret/park-state-access"] == nil ||
		objects["RoleBinding"].(*rbacv1.RoleBinding).Subjects[0].Name != "shop" {
		t.Error("the state's objects are not there")
	}
	for _, key := range []string{"image", "state", "serviceAccount"} {
		if out, err := template("--set", "ticketproxy."+key+"="); err == nil || !strings.Contains(out, `needs "`+key+`"`) {
			t.Errorf("without %s: %v\n%s", key, err, out)
		}
	}
	for _, name := range []string{"TICKETPROXY_STATE", "TICKETPROXY_ADMIN_LISTEN", "GOMEMLIMIT"} {
		if out, err := template("--set", "ticketproxy.env."+name+"=x"); err == nil || !strings.Contains(out, "env has "+name) {
			t.Errorf("with %s in env: %v\n%s", name, err, out)
		}
	}
	if out, err := template("--set", "ticketproxy.env.GOMEMLIMIT=1GiB,ticketproxy.resources.limits.memory=2Gi"); err != nil {
		t.Errorf("with resources and GOMEMLIMIT: %v\n%s", err, out)
	}
}
