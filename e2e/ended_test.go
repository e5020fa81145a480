package e2e

import (
	"net/http"
	"os"
	"testing"
	"time"
)

// TestKubernetesKilledHolder kills a holder whose state is in a Secret.
func TestKubernetesKilledHolder(t *testing.T) {
	c := startCluster(t)
	c.namespace("tickets")
	kubeconfig := c.account("tickets", "refresher", "state", true, stateVerbs...)
	providers := one(startSandbox(t, time.Hour), "openticket")
	all := newReplicas(t, c, 2, kubeconfig, providers)
	killHolder(t, all[0], all[1], providers["openticket"])
}

// TestPostgresKilledHolder kills a holder whose state is in a database.
func TestPostgresKilledHolder(t *testing.T) {
	d := startDatabase(t)
	url := d.login("ticketproxy", "canary-0123456789", "CREATE ON SCHEMA public")
	providers := one(startSandbox(t, time.Hour), "openticket")
	all := newDatabaseReplicas(t, url, 2, providers)
	killHolder(t, all[0], all[1], providers["openticket"])
}

// killHolder kills the replica that waits for the issuer's answer. Another process that sees
// the same /dev/shm asks the issuer soon after, and not after the takeover delay, and the
// killed one joins again.
func killHolder(t *testing.T, holder, other *proxy, account *provider) {
	t.Helper()
	if info, err := os.Stat("/dev/shm"); err != nil || !info.IsDir() {
		t.Skip("SKIPPED: no /dev/shm")
	}
	account.slow(30*time.Second, 0)
	holder.start()
	await(t, 20*time.Second, "a token request", func() bool { return account.counters().TokenRequests == 1 })
	other.start()
	time.Sleep(3 * time.Second) // it waits for the holder
	if n := account.counters().TokenRequests; n != 1 {
		t.Fatalf("%d token requests while the holder runs", n)
	}
	account.slow(0, 0)
	killed := time.Now()
	holder.kill()
	await(t, 10*time.Second, "the other replica has taken over", func() bool { return other.status("openticket").Usable })
	t.Logf("usable %v after the kill", time.Since(killed))
	holder.start()
	holder.awaitUsable("openticket", 10*time.Second)
	if n := account.counters(); n.MaxRedemptions != 1 || n.Reuses != 0 {
		t.Errorf("%+v", n)
	}
}

// TestKubernetesDeletedSecret deletes the Secret while replicas with short tokens watch it.
// They store it again and go on at once.
func TestKubernetesDeletedSecret(t *testing.T) {
	c := startCluster(t)
	c.namespace("tickets")
	kubeconfig := c.account("tickets", "refresher", "state", true, stateVerbs...)
	providers := one(startSandbox(t, 5*time.Second), "openticket")
	account := providers["openticket"]
	var loads []*load
	for _, p := range newReplicas(t, c, 3, kubeconfig, providers) {
		p.start()
		p.awaitUsable("openticket", 30*time.Second)
		loads = append(loads, startLoad(p, "openticket", 20*time.Millisecond))
	}
	path := "/api/v1/namespaces/tickets/secrets/state"
	for range 5 {
		before := account.counters().Redemptions
		await(t, 10*time.Second, "the next refresh", func() bool { return account.counters().Redemptions > before })
		time.Sleep(500 * time.Millisecond) // until it is stored
		deleted := time.Now()
		c.must(http.MethodDelete, path, nil)
		await(t, 10*time.Second, "the refresh after the deletion", func() bool {
			return account.counters().Redemptions > before+1
		})
		t.Logf("refreshed %v after the deletion", time.Since(deleted))
	}
	for _, l := range loads {
		if _, failed, example := l.end(); len(failed) > 0 {
			t.Errorf("apps saw %v, for example %s", failed, example)
		}
	}
	if n := account.counters(); n.MaxRedemptions != 1 || n.Reuses != 0 {
		t.Errorf("%+v", n)
	}
}
