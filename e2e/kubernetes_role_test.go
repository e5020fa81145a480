package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestKubernetesRole tries what the chart's ServiceAccount may do: get, watch and patch its
// two Secrets, and nothing else.
func TestKubernetesRole(t *testing.T) {
	c := startCluster(t)
	c.restricted("tickets")
	c.namespace("others")
	for _, namespace := range []string{"tickets", "others"} {
		c.must(http.MethodPost, "/api/v1/namespaces/"+namespace+"/secrets", map[string]any{"metadata": map[string]any{"name": "boards"}})
	}
	c.mustHelm("install", "tickets", chart, "-n", "tickets", "-f", valuesFile(t, chartValues))
	kubeconfig := c.kubeconfigOf("tickets", "tickets-ticketproxy")
	token, err := os.ReadFile(filepath.Join(filepath.Dir(kubeconfig), "token"))
	if err != nil {
		t.Fatal(err)
	}
	try := func(method, path string, body any, into any) int {
		t.Helper()
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequest(method, c.origin+path, strings.NewReader(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+string(token))
		req.Header.Set("Content-Type", "application/json")
		if method == http.MethodPatch {
			req.Header.Set("Content-Type", "application/merge-patch+json")
		}
		res, err := c.anonymous().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if into != nil {
			if err := json.NewDecoder(res.Body).Decode(into); err != nil {
				t.Fatal(err)
			}
		}
		return res.StatusCode
	}
	const secrets = "/api/v1/namespaces/tickets/secrets"
	label := map[string]any{"metadata": map[string]any{"labels": map[string]string{"a": "b"}}}
	for _, name := range []string{"tickets-ticketproxy-state", "tickets-ticketproxy-state-access"} {
		one := secrets + "/" + name
		watch := secrets + "?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3D" + name
		for what, got := range map[string]int{
			"get": try(http.MethodGet, one, nil, nil), "watch": try(http.MethodGet, watch, nil, nil),
			"patch": try(http.MethodPatch, one, label, nil),
		} {
			if got != http.StatusOK {
				t.Errorf("%s %s: %d", what, name, got)
			}
		}
		for what, got := range map[string]int{
			"delete": try(http.MethodDelete, one, nil, nil), "update": try(http.MethodPut, one, label, nil),
			"list": try(http.MethodGet, secrets+"?fieldSelector=metadata.name%3D"+name, nil, nil),
		} {
			if got != http.StatusForbidden {
				t.Errorf("%s %s: %d, want 403", what, name, got)
			}
		}
	}
	for what, got := range map[string]int{
		"get another Secret":            try(http.MethodGet, secrets+"/boards", nil, nil),
		"patch another Secret":          try(http.MethodPatch, secrets+"/boards", label, nil),
		"watch another Secret":          try(http.MethodGet, secrets+"?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dboards", nil, nil),
		"watch all Secrets":             try(http.MethodGet, secrets+"?watch=1&timeoutSeconds=1", nil, nil),
		"list Secrets":                  try(http.MethodGet, secrets, nil, nil),
		"create a Secret":               try(http.MethodPost, secrets, map[string]any{"metadata": map[string]any{"name": "x"}}, nil),
		"delete all Secrets":            try(http.MethodDelete, secrets, nil, nil),
		"get in another namespace":      try(http.MethodGet, "/api/v1/namespaces/others/secrets/boards", nil, nil),
		"list ConfigMaps":               try(http.MethodGet, "/api/v1/namespaces/tickets/configmaps", nil, nil),
		"list Pods":                     try(http.MethodGet, "/api/v1/namespaces/tickets/pods", nil, nil),
		"create a token of its account": try(http.MethodPost, "/api/v1/namespaces/tickets/serviceaccounts/tickets-ticketproxy/token", map[string]any{}, nil),
		"get its Role":                  try(http.MethodGet, "/apis/rbac.authorization.k8s.io/v1/namespaces/tickets/roles/tickets-ticketproxy", nil, nil),
	} {
		if got != http.StatusForbidden {
			t.Errorf("%s: %d, want 403", what, got)
		}
	}
	// The API server's own list of what it may do. Everybody may ask for these reviews.
	var review struct {
		Status struct {
			ResourceRules []struct {
				Verbs         []string `json:"verbs"`
				APIGroups     []string `json:"apiGroups"`
				Resources     []string `json:"resources"`
				ResourceNames []string `json:"resourceNames"`
			} `json:"resourceRules"`
		} `json:"status"`
	}
	try(http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
		map[string]any{"spec": map[string]any{"namespace": "tickets"}}, &review)
	own := 0
	for _, rule := range review.Status.ResourceRules {
		switch {
		case slices.Equal(rule.Resources, []string{"secrets"}):
			own++
			if !slices.Equal(rule.Verbs, []string{"get", "watch", "patch"}) || len(rule.ResourceNames) != 2 {
				t.Errorf("a rule for Secrets: %+v", rule)
			}
		case !strings.HasPrefix(rule.Resources[0], "selfsubject"):
			t.Errorf("a rule that is not for the state: %+v", rule)
		}
	}
	if own != 1 {
		t.Errorf("%d rules for Secrets: %+v", own, review)
	}
}
