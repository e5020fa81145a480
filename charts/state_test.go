package charts

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

const replicas = chart + "/ci/replicas-values.yaml"

// TestReplicas tests what a state in a Secret changes in the objects.
func TestReplicas(t *testing.T) {
	t.Parallel()
	objects := render(t, "-f", replicas)
	spec := objects["Deployment"].(*appsv1.Deployment).Spec
	if update := spec.Strategy.RollingUpdate; *spec.Replicas != 3 || update.MaxSurge.IntVal != 1 || update.MaxUnavailable.IntVal != 0 {
		t.Errorf("%d replicas, strategy %v", *spec.Replicas, spec.Strategy)
	}
	pod := spec.Template
	spread := pod.Spec.TopologySpreadConstraints
	if len(spread) != 1 || spread[0].TopologyKey != corev1.LabelHostname || !covers(spread[0].LabelSelector.MatchLabels, pod.Labels) {
		t.Errorf("the Pods are spread by %v", spread)
	}
	container := pod.Spec.Containers[0]
	if got := environment(container)["TICKETPROXY_STATE"]; got != "kubernetes:shop/tickets-ticketproxy-state" {
		t.Errorf("the state is %q", got)
	}
	if path := container.ReadinessProbe.HTTPGet.Path; path != "/startupz" {
		t.Errorf("the path of readiness is %s", path)
	}
	if !slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.Name == "account" && m.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount"
	}) {
		t.Error("the container has no token of the ServiceAccount")
	}
	if objects["Service"].(*corev1.Service).Spec.PublishNotReadyAddresses {
		t.Error("the Service sends requests to Pods that start or end")
	}
	budget := objects["PodDisruptionBudget"].(*policyv1.PodDisruptionBudget).Spec
	if !covers(budget.Selector.MatchLabels, pod.Labels) || budget.MaxUnavailable.IntVal != 1 {
		t.Errorf("the PodDisruptionBudget is %+v", budget)
	}
	if objects["PersistentVolumeClaim"] != nil || objects["HorizontalPodAutoscaler"] != nil {
		t.Error("there is a claim or an autoscaler")
	}
}

// TestStateSecrets tests that the chart puts no data into the Secrets of the state, and that
// the ServiceAccount may use these two alone.
func TestStateSecrets(t *testing.T) {
	t.Parallel()
	objects := render(t, "-f", replicas)
	names := []string{"tickets-ticketproxy-state", "tickets-ticketproxy-state-access"}
	for _, name := range names {
		secret, ok := objects["Secret/"+name].(*corev1.Secret)
		if !ok || secret.Data != nil || secret.StringData != nil || secret.Annotations["helm.sh/resource-policy"] != "keep" {
			t.Errorf("Secret %s is %+v", name, secret)
		}
	}
	rules := objects["Role"].(*rbacv1.Role).Rules
	if len(rules) != 1 || !slices.Equal(rules[0].ResourceNames, names) || !slices.Equal(rules[0].Resources, []string{"secrets"}) ||
		!slices.Equal(rules[0].Verbs, []string{"get", "watch", "patch"}) {
		t.Errorf("the Role's rules are %+v", rules)
	}
	binding := objects["RoleBinding"].(*rbacv1.RoleBinding)
	account := objects["ServiceAccount"].(*corev1.ServiceAccount)
	if binding.RoleRef.Name != objects["Role"].(*rbacv1.Role).Name || len(binding.Subjects) != 1 || binding.Subjects[0].Name != account.Name {
		t.Errorf("the RoleBinding is %+v", binding)
	}

	objects = render(t, "-f", replicas, "--set", "state.existingSecret=own,rbac.create=false")
	for _, kind := range []string{"Secret", "Role", "RoleBinding"} {
		if objects[kind] != nil {
			t.Errorf("there is a %s, which the values turn off", kind)
		}
	}
	env := environment(objects["Deployment"].(*appsv1.Deployment).Spec.Template.Spec.Containers[0])
	if env["TICKETPROXY_STATE"] != "kubernetes:shop/own" {
		t.Errorf("the state is %q", env["TICKETPROXY_STATE"])
	}
}

func TestAutoscaling(t *testing.T) {
	t.Parallel()
	objects := render(t, "-f", replicas, "--set", "replicaCount=1,autoscaling.enabled=true,podDisruptionBudget.maxUnavailable=25%")
	deployment := objects["Deployment"].(*appsv1.Deployment)
	scaler := objects["HorizontalPodAutoscaler"].(*autoscalingv2.HorizontalPodAutoscaler).Spec
	if deployment.Spec.Replicas != nil || scaler.ScaleTargetRef.Name != deployment.Name || *scaler.MinReplicas != 2 {
		t.Errorf("replicas %v, the autoscaler is %+v", deployment.Spec.Replicas, scaler)
	}
	if budget := objects["PodDisruptionBudget"].(*policyv1.PodDisruptionBudget).Spec; budget.MaxUnavailable.StrVal != "25%" {
		t.Errorf("the PodDisruptionBudget is %+v", budget)
	}
	objects = render(t, "-f", replicas, "--set", "replicaCount=1")
	if objects["PodDisruptionBudget"] != nil || objects["Deployment"].(*appsv1.Deployment).Spec.Template.Spec.TopologySpreadConstraints != nil {
		t.Error("one Pod has a PodDisruptionBudget, or is spread")
	}
}

// TestHookWithState tests that helm test's check gets no seed where it reads the real state.
func TestHookWithState(t *testing.T) {
	t.Parallel()
	_, check, _ := hookPod(t, render(t, "-f", replicas, "--set", "upstreams.park.existingSecretKeys.refreshToken="))
	for name := range environment(check) {
		if strings.Contains(name, "REFRESH_TOKEN") {
			t.Errorf("check has %s", name)
		}
	}
}

// TestReader tests that a reader gets no credentials, and may use the Secret with access tokens
// alone.
func TestReader(t *testing.T) {
	t.Parallel()
	const reader = chart + "/ci/reader-values.yaml"
	objects := render(t, "-f", reader)
	rules := objects["Role"].(*rbacv1.Role).Rules
	if len(rules) != 1 || !slices.Equal(rules[0].ResourceNames, []string{"tickets-ticketproxy-state-access"}) ||
		!slices.Equal(rules[0].Verbs, []string{"get", "watch"}) {
		t.Errorf("the Role's rules are %+v", rules)
	}
	pod := objects["Deployment"].(*appsv1.Deployment).Spec.Template.Spec
	if objects["Secret"] != nil || slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == "secrets" }) {
		t.Error("a reader has secrets")
	}
	if got := environment(pod.Containers[0])["TICKETPROXY_ROLE"]; got != "reader" {
		t.Errorf("the role is %q", got)
	}
	rules = render(t, "-f", reader, "--set", "rbac.refusals=true")["Role"].(*rbacv1.Role).Rules
	if !slices.Contains(rules[0].Verbs, "patch") {
		t.Error("a reader cannot tell of refusals")
	}
}
