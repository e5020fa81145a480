package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// collections are the API's paths of the kinds in our manifests. %s is the namespace.
var collections = map[string]string{
	"ConfigMap":                      "/api/v1/namespaces/%s/configmaps/",
	"PersistentVolumeClaim":          "/api/v1/namespaces/%s/persistentvolumeclaims/",
	"Pod":                            "/api/v1/namespaces/%s/pods/",
	"Secret":                         "/api/v1/namespaces/%s/secrets/",
	"Service":                        "/api/v1/namespaces/%s/services/",
	"ServiceAccount":                 "/api/v1/namespaces/%s/serviceaccounts/",
	"Deployment":                     "/apis/apps/v1/namespaces/%s/deployments/",
	"HorizontalPodAutoscaler":        "/apis/autoscaling/v2/namespaces/%s/horizontalpodautoscalers/",
	"CronJob":                        "/apis/batch/v1/namespaces/%s/cronjobs/",
	"Job":                            "/apis/batch/v1/namespaces/%s/jobs/",
	"NetworkPolicy":                  "/apis/networking.k8s.io/v1/namespaces/%s/networkpolicies/",
	"PodDisruptionBudget":            "/apis/policy/v1/namespaces/%s/poddisruptionbudgets/",
	"Role":                           "/apis/rbac.authorization.k8s.io/v1/namespaces/%s/roles/",
	"RoleBinding":                    "/apis/rbac.authorization.k8s.io/v1/namespaces/%s/rolebindings/",
	"MutatingAdmissionPolicy":        "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/",
	"MutatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings/",
}

// apply applies a file of several documents as the administrator, on the server's side. A
// warning is an error.
func (c *cluster) apply(namespace, path string) {
	c.t.Helper()
	manifest, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	c.applyText(namespace, string(manifest))
}

func (c *cluster) applyText(namespace, manifest string) {
	c.t.Helper()
	kind, name := regexp.MustCompile(`(?m)^kind: (\w+)$`), regexp.MustCompile(`(?m)^  name: (\S+)$`)
	for document := range strings.SplitSeq("\n"+manifest, "\n---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		kind := kind.FindStringSubmatch(document)[1]
		path, ok := collections[kind]
		if !ok {
			c.t.Fatalf("this test does not know the path of a %s", kind)
		}
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, namespace)
		}
		path += name.FindStringSubmatch(document)[1]
		req, err := http.NewRequest(http.MethodPatch, c.origin+path+"?fieldManager=e2e&fieldValidation=Strict&force=true", strings.NewReader(document))
		if err != nil {
			c.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/apply-patch+yaml")
		code, answer, warnings := c.send(req)
		if code/100 != 2 {
			c.t.Errorf("applying %s: %d\n%s", path, code, answer)
		}
		for _, warning := range warnings {
			c.t.Errorf("applying %s: %s", path, warning)
		}
	}
}

// send makes a request as the administrator.
func (c *cluster) send(req *http.Request) (code int, answer []byte, warnings []string) {
	c.t.Helper()
	res, err := c.admin.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, err = io.ReadAll(res.Body); err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, answer, res.Header.Values("Warning")
}

// restricted makes a namespace whose Pods must meet the restricted Pod Security Standard, and
// the ServiceAccount that a controller makes in a whole cluster.
func (c *cluster) restricted(namespace string) {
	c.t.Helper()
	const standard = "pod-security.kubernetes.io/"
	c.must(http.MethodPost, "/api/v1/namespaces", map[string]any{"metadata": map[string]any{
		"name":   namespace,
		"labels": map[string]string{standard + "enforce": "restricted", standard + "warn": "restricted"},
	}})
	c.must(http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts", map[string]any{
		"metadata": map[string]any{"name": "default"},
	})
}

// part runs a part of a test that shares the cluster with other parts.
func (c *cluster) part(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		whole := c.t
		c.t = t
		defer func() { c.t = whole }()
		f(t)
	})
}

// A template is a Pod's in a Deployment or a Job.
type template struct {
	Metadata map[string]any `json:"metadata"`
	Spec     map[string]any `json:"spec"`
}

// templateOf returns the Pod template of an object, as the API server has it.
func (c *cluster) templateOf(namespace, kind, name string) template {
	c.t.Helper()
	var o struct {
		Spec struct {
			Template    template `json:"template"`
			JobTemplate struct {
				Spec struct {
					Template template `json:"template"`
				} `json:"spec"`
			} `json:"jobTemplate"`
		} `json:"spec"`
	}
	c.ask(http.MethodGet, fmt.Sprintf(collections[kind], namespace)+name, nil, &o)
	if kind == "CronJob" {
		return o.Spec.JobTemplate.Spec.Template
	}
	return o.Spec.Template
}

// create makes a Pod of a template, as a controller does.
func (c *cluster) create(namespace, name string, of template, into any) (code int, answer string) {
	c.t.Helper()
	metadata := map[string]any{"name": name}
	for key, value := range of.Metadata {
		metadata[key] = value
	}
	delete(metadata, "creationTimestamp")
	body, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": of.Spec})
	if err != nil {
		c.t.Fatal(err)
	}
	path := fmt.Sprintf(collections["Pod"], namespace) + "?fieldValidation=Strict"
	req, err := http.NewRequest(http.MethodPost, c.origin+strings.Replace(path, "/?", "?", 1), strings.NewReader(string(body)))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	code, data, warnings := c.send(req)
	for _, warning := range warnings {
		c.t.Errorf("creating Pod %s: %s", name, warning)
	}
	if into != nil && code/100 == 2 {
		if err := json.Unmarshal(data, into); err != nil {
			c.t.Fatal(err)
		}
	}
	return code, string(data)
}

// TestKubernetesExamples applies every example to a namespace of its own with restricted Pod
// Security, and makes a Pod of each template in them.
func TestKubernetesExamples(t *testing.T) {
	c := startCluster(t)
	files, err := filepath.Glob("../charts/ticketproxy/examples/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	templates := regexp.MustCompile(`(?m)^kind: (Deployment|Job|CronJob)\nmetadata:\n  name: (\S+)$`)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		c.part(t, name, func(t *testing.T) {
			manifest, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c.restricted(name)
			c.apply(name, file)
			for i, found := range templates.FindAllStringSubmatch(string(manifest), -1) {
				pod := fmt.Sprintf("pod-%d", i)
				if code, answer := c.create(name, pod, c.templateOf(name, found[1], found[2]), nil); code != http.StatusCreated {
					t.Errorf("a Pod of %s %s: %d\n%s", found[1], found[2], code, answer)
				}
			}
		})
	}
}

// TestKubernetesExamplesTogether applies examples that share an account to one namespace, one
// after the other. Replicas and Jobs may read the state. An app whose pods become readers may
// not, although what has allowed it before is still there.
func TestKubernetesExamplesTogether(t *testing.T) {
	c := startCluster(t)
	c.restricted("tickets")
	// allowed reports whether the Pods of a template may get the Secret with the state.
	allowed := func(of template) bool {
		t.Helper()
		var review struct {
			Status struct {
				Allowed bool `json:"allowed"`
			} `json:"status"`
		}
		c.ask(http.MethodPost, "/apis/authorization.k8s.io/v1/subjectaccessreviews", map[string]any{"spec": map[string]any{
			"user": fmt.Sprintf("system:serviceaccount:tickets:%v", of.Spec["serviceAccountName"]),
			"resourceAttributes": map[string]string{
				"namespace": "tickets", "verb": "get", "resource": "secrets", "name": "ticketpark-state",
			},
		}}, &review)
		return review.Status.Allowed
	}
	c.apply("tickets", examples+"replicas.yaml")
	c.apply("tickets", examples+"job.yaml")
	await(t, 10*time.Second, "replicas and the Job may read the state", func() bool {
		return allowed(c.templateOf("tickets", "Deployment", "app")) && allowed(c.templateOf("tickets", "Job", "report"))
	})
	c.apply("tickets", examples+"readers.yaml")
	await(t, 10*time.Second, "refreshers may read the state", func() bool {
		return allowed(c.templateOf("tickets", "Deployment", "refresher"))
	})
	if allowed(c.templateOf("tickets", "Deployment", "app")) {
		t.Error("readers may read the state")
	}
}
