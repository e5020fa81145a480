package e2e

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A service spreads an app's requests over the replicas that are ready, as a Service of
// Kubernetes does.
type service struct {
	mu    sync.Mutex
	next  int
	ready []*proxy
}

func (s *service) add(p *proxy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = append(s.ready, p)
}

func (s *service) remove(p *proxy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = slices.DeleteFunc(s.ready, func(q *proxy) bool { return q == p })
}

func (s *service) pick() *proxy {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return s.ready[s.next%len(s.ready)]
}

// TestKubernetesRollout replaces all replicas one after the other, several times, as a rolling
// update does: a new one starts, and an old one ends once the new one is ready. Its
// address is still used for a second after SIGTERM, as in a cluster, where nodes learn
// late that a pod ends. No request may fail, and no refresh token may be spent twice.
func TestKubernetesRollout(t *testing.T) {
	c := startCluster(t)
	c.namespace("tickets")
	kubeconfig := c.account("tickets", "refresher", "state", true, stateVerbs...)
	providers := one(startSandbox(t, 5*time.Second), "openticket")
	account := providers["openticket"]
	start := func() *proxy {
		p := newReplicas(t, c, 1, kubeconfig, providers)[0]
		p.extraEnv = append(p.extraEnv, "TICKETPROXY_DRAIN_DELAY=2s")
		p.start()
		await(t, 30*time.Second, "a new replica is ready", func() bool {
			if !p.alive() {
				t.Fatalf("a new replica has ended:\n%s", p.stderr.String())
			}
			if !accepts(p.admin) {
				return false
			}
			ok, _ := p.ready()
			return ok
		})
		p.mustServe("openticket") // it was not ready before it held a token
		return p
	}
	var all service
	old := []*proxy{start(), start(), start()}
	for _, p := range old {
		all.add(p)
	}
	apps := load{failed: map[string]int{}}
	end, ended := make(chan struct{}), sync.WaitGroup{}
	for range 4 {
		ended.Go(func() {
			for {
				select {
				case <-end:
					return
				case <-time.After(10 * time.Millisecond):
				}
				began := time.Now()
				a, err := all.pick().request("openticket")
				apps.count(a, err, began)
			}
		})
	}
	const rounds = 3
	for range rounds {
		for i, p := range old {
			old[i] = start()
			all.add(old[i])
			p.signal(syscall.SIGTERM)
			time.Sleep(time.Second)
			all.remove(p)
			p.awaitEnd(30 * time.Second)
			if code := p.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit code %d of an old replica:\n%s", code, p.stderr.String())
			}
		}
	}
	close(end)
	ended.Wait()
	n := account.counters()
	t.Logf("%d replicas replaced: %d requests, %d redemptions, at most %d of one refresh token",
		rounds*len(old), apps.served, n.Redemptions, n.MaxRedemptions)
	if len(apps.failed) > 0 {
		t.Errorf("apps saw %v, for example %s", apps.failed, apps.example)
	}
	if n.MaxRedemptions != 1 || n.Reuses != 0 {
		t.Errorf("%+v, want no refresh token redeemed twice", n)
	}
}
