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

// shop is a chart with the templates of the library chart, as its README says.
var shop = map[string]string{
	"Chart.yaml": `{apiVersion: v2, name: shop, version: 0.1.0, dependencies: [{name: ticketproxy-sidecar, version: 0.1.0}]}`,
	"templates/state.yaml": `
apiVersion: v1
kind: ServiceAccount
metadata:
  name: shop
---
{{ include "ticketproxy.sidecar.state" (dict "root" $ "state" "shop-state" "serviceAccount" "shop") }}
`,
}

// shopChart writes the chart shop, and returns its path.
func shopChart(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const library = "ticketproxy-sidecar"
	if err := os.CopyFS(filepath.Join(dir, "charts", library), os.DirFS("../charts/"+library)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "templates"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range shop {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestKubernetesChartAnew deletes the Secrets that a chart has made. Upgrades keep those that
// a login makes in their place, and those that kubectl makes once there are records in them.
func TestKubernetesChartAnew(t *testing.T) {
	c := startCluster(t)
	for name, test := range map[string]struct{ chart, values, account, state string }{
		"gateway": {chart, valuesFile(t, chartValues), "tickets-ticketproxy", "tickets-ticketproxy-state"},
		"library": {shopChart(t), valuesFile(t, ""), "shop", "shop-state"},
	} {
		c.part(t, name, func(t *testing.T) {
			c.restricted(name)
			upgrade := func() {
				t.Helper()
				c.mustHelm("upgrade", "--install", "tickets", test.chart, "-n", name, "-f", test.values)
			}
			upgrade()
			names := []string{test.state, test.state + "-access"}
			remove := func() {
				t.Helper()
				for _, secret := range names {
					c.must(http.MethodDelete, fmt.Sprintf(collections["Secret"], name)+secret, nil)
				}
			}
			makeEmpty := func() {
				t.Helper()
				for _, secret := range names {
					c.must(http.MethodPost, "/api/v1/namespaces/"+name+"/secrets", map[string]any{"metadata": map[string]any{"name": secret}})
				}
			}
			// living waits until both Secrets have a record, and checks that upgrades keep them.
			living := func() {
				t.Helper()
				var before []storedSecret
				for _, secret := range names {
					await(t, 30*time.Second, secret+" has a record", func() bool { return len(c.storedOrNone(name, secret).Data) == 1 })
					before = append(before, c.stored(name, secret))
				}
				for range 2 {
					upgrade()
					for i, secret := range names {
						s := c.storedOrNone(name, secret)
						if s.Metadata.UID != before[i].Metadata.UID || len(s.Data) != 1 {
							t.Fatalf("after an upgrade, %s is not what it was: %+v", secret, s.Metadata)
						}
					}
				}
			}

			providers := one(startSandbox(t, 5*time.Second), "socialboards")
			seed := providers["socialboards"].seed
			providers["socialboards"].seed = ""
			gateway := newProxy(t, t.TempDir(), providers, "TICKETPROXY_STATE=kubernetes:"+name+"/"+test.state,
				"KUBECONFIG="+c.kubeconfigOf(name, test.account))
			remove()
			login := exec.Command(binary, "login", "socialboards")
			login.Env = append(gateway.environ(), "KUBECONFIG="+c.adminKubeconfig())
			login.Stdin = strings.NewReader(seed + "\n")
			if out, err := login.CombinedOutput(); err != nil {
				t.Fatalf("login: %v\n%s", err, out)
			}
			gateway.start()
			gateway.awaitUsable("socialboards", 30*time.Second)
			living()
			gateway.mustServe("socialboards")

			remove()
			makeEmpty()
			living()
			gateway.mustServe("socialboards")
			gateway.terminate(30 * time.Second)
			if n := providers["socialboards"].counters(); n.MaxRedemptions != 1 || n.Reuses != 0 {
				t.Errorf("%+v, want no refresh token redeemed twice", n)
			}

			// What kubectl has made without data in place of the release's own is lost by an
			// upgrade, and is there after the next one.
			remove()
			upgrade()
			remove()
			makeEmpty()
			upgrade()
			upgrade()
			for _, secret := range names {
				if s := c.storedOrNone(name, secret); s.Metadata.Annotations["meta.helm.sh/release-name"] != "tickets" {
					t.Errorf("%s is not the release's: %+v", secret, s.Metadata)
				}
			}
		})
	}
}

// storedOrNone returns a Secret of the API, or an empty one where there is none.
func (c *cluster) storedOrNone(namespace, name string) storedSecret {
	c.t.Helper()
	if c.ask(http.MethodGet, fmt.Sprintf(collections["Secret"], namespace)+name, nil, nil) == http.StatusNotFound {
		return storedSecret{}
	}
	return c.stored(namespace, name)
}
