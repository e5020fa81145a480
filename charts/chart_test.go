package charts

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const chart = "ticketproxy"

// cluster sets the Kubernetes version to render for. Helm's default depends on how Helm was
// built.
const cluster = "--kube-version=v1.33.0"

// helm runs Helm with empty directories for cache, configuration and data.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "HELM"), args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func program(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Skipf("%s does not name the program to test with", variable)
	}
	return path
}

// files returns the files with values that the chart must render.
func files(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(chart + "/ci/*-values.yaml")
	if err != nil || len(all) == 0 {
		t.Fatal("there are no values to test with", err)
	}
	return all
}

func render(t *testing.T, args ...string) map[string]runtime.Object {
	t.Helper()
	out, err := helm(t, append([]string{"template", "tickets", chart, cluster, "--namespace", "shop"}, args...)...)
	if err != nil {
		t.Fatalf("helm template: %v\n%s", err, out)
	}
	return decode(t, out)
}

func TestEveryRendering(t *testing.T) {
	t.Parallel()
	for _, file := range files(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			if out, err := helm(t, "lint", "--strict", chart, cluster, "-f", file); err != nil || strings.Contains(out, "[") {
				t.Errorf("helm lint: %v\n%s", err, out) // a remark begins with its severity, like [INFO]
			}
			objects := render(t, "-f", file)
			deployment := objects["Deployment"].(*appsv1.Deployment)
			pod := deployment.Spec.Template
			checkPod(t, pod.Spec, pod.Spec.Containers[0], callersOf(objects))
			checkRestricted(t, *pod.Spec.SecurityContext, *pod.Spec.Containers[0].SecurityContext)
			if !covers(deployment.Spec.Selector.MatchLabels, pod.Labels) {
				t.Errorf("the Deployment does not select its Pod: %v", pod.Labels)
			}

			service := objects["Service"].(*corev1.Service)
			if !covers(service.Spec.Selector, pod.Labels) {
				t.Errorf("the Service does not select the Pod: %v", pod.Labels)
			}
			for _, p := range service.Spec.Ports {
				if port := portNamed(pod.Spec.Containers[0], p.TargetPort.StrVal); port != p.Port {
					t.Errorf("the Service's port %d leads to %d", p.Port, port)
				}
			}
			hosts := strings.Split(environment(pod.Spec.Containers[0])["TICKETPROXY_ALLOWED_HOSTS"], ",")
			for _, end := range []string{"", ".shop", ".shop.svc"} {
				if !slices.Contains(hosts, service.Name+end) {
					t.Errorf("TICKETPROXY_ALLOWED_HOSTS lacks %s", service.Name+end)
				}
			}

			if policy, ok := objects["NetworkPolicy"].(*networkingv1.NetworkPolicy); ok && !covers(policy.Spec.PodSelector.MatchLabels, pod.Labels) {
				t.Errorf("the NetworkPolicy does not select the Pod: %v", pod.Labels)
			}
			if claim, ok := objects["PersistentVolumeClaim"].(*corev1.PersistentVolumeClaim); ok && pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName != claim.Name {
				t.Errorf("the Pod does not use the claim %s", claim.Name)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	objects := render(t, "-f", chart+"/ci/one-values.yaml")
	policy := objects["NetworkPolicy"].(*networkingv1.NetworkPolicy)
	if len(policy.Spec.Ingress[0].From) != 1 || policy.Spec.Ingress[0].From[0].PodSelector.MatchLabels["tickets-ticketproxy-client"] != "true" {
		t.Errorf("the NetworkPolicy allows peers without the label: %+v", policy.Spec.Ingress)
	}
	if got := objects["PersistentVolumeClaim"].(*corev1.PersistentVolumeClaim).Annotations["helm.sh/resource-policy"]; got != "keep" {
		t.Errorf("resource-policy of the claim = %q, want keep", got)
	}
	if got := string(objects["Secret"].(*corev1.Secret).Data["park-refresh-token"]); got != "inline-refresh-token" {
		t.Errorf("refresh token = %q", got)
	}
	spec := objects["Deployment"].(*appsv1.Deployment).Spec
	if *spec.Replicas != 1 || spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("%d replicas, strategy %s; want 1, Recreate", *spec.Replicas, spec.Strategy.Type)
	}
	env := environment(spec.Template.Spec.Containers[0])
	for name, want := range map[string]string{"TICKETPROXY_STATE": "file:/state/ticketproxy", "GOMEMLIMIT": "115MiB"} {
		if env[name] != want {
			t.Errorf("%s = %q, want %q", name, env[name], want)
		}
	}
}

// TestExistingSecretsOnly tests that the chart does not copy the user's Secrets.
func TestExistingSecretsOnly(t *testing.T) {
	t.Parallel()
	objects := render(t, "-f", chart+"/ci/existing-secret-values.yaml")
	for _, kind := range []string{"Secret", "PersistentVolumeClaim", "ServiceAccount", "NetworkPolicy"} {
		if objects[kind] != nil {
			t.Errorf("there is a %s, which the values turn off", kind)
		}
	}
}

// TestKeys tests which key of which Secret becomes which file.
func TestKeys(t *testing.T) {
	t.Parallel()
	pod := render(t, "-f", chart+"/ci/several-values.yaml")["Deployment"].(*appsv1.Deployment).Spec.Template.Spec
	var got []string
	for _, v := range pod.Volumes {
		if v.Name != "secrets" {
			continue
		}
		for _, source := range v.Projected.Sources {
			for _, item := range source.Secret.Items {
				got = append(got, source.Secret.Name+" "+item.Key+" "+item.Path)
			}
		}
	}
	want := []string{
		"boards seed boards/refresh-token",
		"shop client-secret open-ticket/client-secret",
		"shop refresh-token open-ticket/refresh-token",
		"egress other-client-secret other/client-secret",
		"park oauth.secret park/client-secret",
	}
	if !slices.Equal(got, want) {
		t.Errorf("secrets are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSecretsAreNotInTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, file := range files(t) {
		deployment := render(t, "-f", file)["Deployment"].(*appsv1.Deployment)
		for name, value := range environment(deployment.Spec.Template.Spec.Containers[0]) {
			if strings.Contains(value, "inline") || strings.HasSuffix(name, "_SECRET") || strings.HasSuffix(name, "_TOKEN") {
				t.Errorf("%s: %s holds a secret", file, name)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const base, park = "image.repository=r,gateway.allowUnauthenticated=true", ",upstreams.park.provider=ticketpark,upstreams.park.clientId=x"
	const asks = "image.repository=r"
	const many = ",state.type=kubernetes,autoscaling.enabled=true"
	for name, test := range map[string]struct{ set, want string }{
		"no values":                        {"", "image.repository is empty"},
		"callers whom nobody asks":         {base + park + ",callers.callers.shop.uid=1", "names callers or limits, but"},
		"limits of callers nobody asks":    {base + park + ",callers.limits.park.concurrent=1", "names callers or limits, but"},
		"tokens for everyone":              {base + park + ",tokenListen.enabled=true", "would hand them to everyone"},
		"tokens at an upstream's port":     {asks + park + ",tokenListen.enabled=true,tokenListen.port=8080", "that of an upstream"},
		"tokens at the admin port":         {asks + park + ",tokenListen.enabled=true,tokenListen.port=9090", "health and metrics"},
		"clients without a certificate":    {asks + park + ",tls.clientCA.configMap=x", "tls.secretName is empty"},
		"two bundles of authorities":       {asks + park + ",tls.secretName=x,tls.clientCA.configMap=x,tls.clientCA.secretName=x", "keep one of the two"},
		"an audit of nothing":              {asks + park + ",audit.required=true", "audit.log is off"},
		"a misspelt value of a caller":     {asks + park + ",callers.callers.shop.key=x", "'key' not allowed"},
		"a caller without a proof":         {asks + park + ",callers.callers.shop.may[0].upstream=x", "/callers/callers/shop"},
		"a key in place of its digest":     {asks + park + ",callers.callers.shop.keys[0]=tpk_x", "/callers/callers/shop/keys/0"},
		"an audit log of its own":          {asks + park + ",audit.log=stdout,extraEnv[0].name=TICKETPROXY_AUDIT_LOG", "extraEnv has TICKETPROXY_AUDIT_LOG"},
		"no image":                         {"gateway.allowUnauthenticated=true" + park, "image.repository is empty"},
		"no upstream":                      {base, "upstreams is empty"},
		"no provider":                      {base + ",upstreams.park.clientId=x", "upstreams.park.provider is missing"},
		"no client":                        {base + ",upstreams.park.provider=ticketpark", "upstreams.park.clientId is missing"},
		"secrets twice":                    {base + park + ",upstreams.park.existingSecret=park,upstreams.park.refreshToken=x", "keep one of the two"},
		"keys without a Secret":            {base + park + ",upstreams.park.existingSecretKeys.clientSecret=x", "no existingSecret"},
		"unknown account":                  {base + park + ",upstreams.shop.account=bark", `upstreams.shop.account is "bark", which is not another upstream`},
		"account of itself":                {base + park + ",upstreams.shop.account=shop", "which is not another upstream"},
		"credentials for shared":           {base + park + ",upstreams.shop.account=park,upstreams.shop.clientId=x", "uses the account of"},
		"same port, host and prefix":       {base + park + ",upstreams.shop.account=park", "same port, host and prefix"},
		"the admin port":                   {base + park + ",upstreams.park.port=9090", "health and metrics"},
		"a misspelt value":                 {base + park + ",gateway.allowedHost=x", "'allowedHost' not allowed"},
		"a misspelt value of an upstream":  {base + park + ",upstreams.park.client=x", "'client' not allowed"},
		"a name in capitals":               {base + park + ",upstreams.Park.account=park", "'Park' not allowed"},
		"an unknown provider":              {base + park + ",upstreams.park.provider=ticketspark", "/upstreams/park/provider"},
		"plain HTTP to the issuer":         {base + park + ",upstreams.park.tokenUrl=http://issuer.example.com", "/upstreams/park/tokenUrl"},
		"metrics that nobody may read":     {base + park + ",metrics.serviceMonitor.enabled=true", "networkPolicy.metricsFrom"},
		"several Pods with a volume":       {base + park + ",replicaCount=2", "cannot share the volume"},
		"autoscaling with a volume":        {base + park + ",autoscaling.enabled=true", "cannot share the volume"},
		"more at least than at most":       {base + park + many + ",autoscaling.minReplicas=9", "more than autoscaling.maxReplicas"},
		"a Secret for a volume":            {base + park + ",state.existingSecret=x", "state.type is file, which has no Secret"},
		"a claim for a Secret":             {base + park + many + ",state.existingClaim=x", "state.type is kubernetes, which has no claim"},
		"the ServiceAccount of all Pods":   {base + park + many + ",serviceAccount.create=false", "is that of other Pods"},
		"a database without a URL":         {base + park + ",state.type=postgres", "state.existingSecret is empty"},
		"a reader with a volume":           {base + park + ",role=reader", "A reader needs a state"},
		"a reader with a state of its own": {base + park + many + ",role=reader", "the Secret of the refreshers' state"},
		"a reader with credentials":        {base + park + many + ",role=reader,state.existingSecret=x,upstreams.park.refreshToken=x", "a reader must have none"},
		"a variable of the chart":          {base + park + ",extraEnv[0].name=TICKETPROXY_PARK_CLIENT_ID", "extraEnv has TICKETPROXY_PARK_CLIENT_ID, which the chart sets"},
		"a state of its own":               {base + park + ",extraEnv[0].name=TICKETPROXY_STATE_FILE", "extraEnv has TICKETPROXY_STATE_FILE"},
		"a role of its own":                {base + park + ",extraEnv[0].name=TICKETPROXY_ROLE", "extraEnv has TICKETPROXY_ROLE"},
		"a privileged port":                {base + park + ",upstreams.park.port=80", "/upstreams/park/port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := helm(t, "template", "tickets", chart, cluster, "--set", test.set)
			if err == nil {
				t.Fatal("helm template succeeded")
			}
			if !strings.Contains(out, test.want) {
				t.Errorf("helm printed %q, want %q in it", out, test.want)
			}
		})
	}
}

// TestExtensions tests what users add to the objects of the chart.
func TestExtensions(t *testing.T) {
	t.Parallel()
	values := filepath.Join(t.TempDir(), "values.yaml")
	const text = `
image: {repository: r}
gateway: {allowUnauthenticated: true}
upstreams:
  park: {provider: ticketpark, clientId: x, existingSecret: park, servicePort: 80}
commonLabels: {team: tickets}
deploymentAnnotations: {note: d}
revisionHistoryLimit: 3
probes: {readiness: {periodSeconds: 7}}
lifecycle: {preStop: {sleep: {seconds: 5}}}
extraVolumes: [{name: more, emptyDir: {}}]
extraVolumeMounts: [{name: more, mountPath: /more}]
extraContainers: [{name: other, image: other}]
extraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: "{{ .Release.Name }}-more"}}]
hostAliases: [{ip: 192.0.2.1, hostnames: [api.example.com]}]
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]
networkPolicy: {metricsFrom: [{namespaceSelector: {}}]}
metrics: {serviceMonitor: {enabled: true}}
`
	if err := os.WriteFile(values, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	objects := render(t, "-f", values)
	deployment := objects["Deployment"].(*appsv1.Deployment)
	pod := deployment.Spec.Template
	container := pod.Spec.Containers[0]
	for what, ok := range map[string]bool{
		"commonLabels of the Deployment": deployment.Labels["team"] == "tickets",
		"commonLabels of the Pod":        pod.Labels["team"] == "tickets",
		"commonLabels and the selector":  deployment.Spec.Selector.MatchLabels["team"] == "",
		"deploymentAnnotations":          deployment.Annotations["note"] == "d",
		"revisionHistoryLimit":           *deployment.Spec.RevisionHistoryLimit == 3,
		"probes, changed":                container.ReadinessProbe.PeriodSeconds == 7,
		"probes, kept":                   container.ReadinessProbe.TimeoutSeconds == 5 && container.ReadinessProbe.HTTPGet.Path == "/readyz",
		"lifecycle":                      container.Lifecycle.PreStop.Sleep.Seconds == 5,
		"extraVolumeMounts":              container.VolumeMounts[len(container.VolumeMounts)-1].MountPath == "/more",
		"extraVolumes":                   pod.Spec.Volumes[len(pod.Spec.Volumes)-1].Name == "more",
		"extraContainers":                len(pod.Spec.Containers) == 2 && pod.Spec.Containers[1].Name == "other",
		"extraObjects":                   objects["ConfigMap"].(*corev1.ConfigMap).Name == "tickets-more",
		"hostAliases":                    pod.Spec.HostAliases[0].IP == "192.0.2.1",
		"topologySpreadConstraints":      pod.Spec.TopologySpreadConstraints[0].TopologyKey == "zone",
	} {
		if !ok {
			t.Errorf("%s is not as the values say", what)
		}
	}
	ports := objects["Service"].(*corev1.Service).Spec.Ports
	if ports[0].Port != 80 || ports[0].TargetPort.StrVal != "http-8080" {
		t.Errorf("the Service's port is %+v", ports[0])
	}
}

func TestSidecarExample(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(chart + "/examples/sidecar.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects := decode(t, string(data))
	pod := objects["Pod"].(*corev1.Pod).Spec
	sidecar := pod.InitContainers[0]
	if sidecar.RestartPolicy == nil || *sidecar.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("the init container is not a sidecar")
	}
	checkPod(t, pod, sidecar, "")
	if claim := objects["PersistentVolumeClaim"].(*corev1.PersistentVolumeClaim); pod.Volumes[0].PersistentVolumeClaim.ClaimName != claim.Name {
		t.Errorf("the Pod does not use the claim %s", claim.Name)
	}
}

func TestREADMEListsEveryValue(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(chart + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(chart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(data, &values); err != nil {
		t.Fatal(err)
	}
	leaves := []string{"upstreams", "resources", "podSecurityContext", "securityContext"}
	var walk func(at string, value any)
	walk = func(at string, value any) {
		if group, ok := value.(map[string]any); ok && len(group) > 0 && !slices.Contains(leaves, at) {
			for key, value := range group {
				walk(strings.TrimPrefix(at+"."+key, "."), value)
			}
			return
		}
		if !strings.Contains(string(readme), "`"+at+"`") {
			t.Errorf("the README does not list %s", at)
		}
	}
	walk("", values)
}
