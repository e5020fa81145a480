package e2e

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// TestTwoProcessesOneState has two processes share one state directory under load.
// It terminates or kills each of them in turn and starts it again.
func TestTwoProcessesOneState(t *testing.T) {
	t.Parallel()
	providers := startSandbox(t, 2*time.Second)
	for _, p := range providers {
		p.slow(100*time.Millisecond, 100*time.Millisecond) // so that their refreshes overlap
	}
	dir := t.TempDir()
	pair := []*proxy{newProxy(t, dir, providers), newProxy(t, dir, providers)}
	random := newRandom(t)
	for _, p := range pair {
		p.start()
	}
	var loads sumOfLoads
	for _, p := range pair {
		p.awaitAllUsable(30 * time.Second)
		loads.begin(p)
	}

	restarts, end := 0, time.Now().Add(30*time.Second)
	for ; time.Now().Before(end); restarts++ {
		time.Sleep(randomUpTo(random, 3*time.Second))
		p := pair[restarts%2]
		loads.end(t, p)
		if random.IntN(2) == 0 {
			if code := p.terminate(30 * time.Second); code != 0 {
				t.Errorf("exit code %d after SIGTERM, want 0", code)
			}
		} else {
			stopBetweenRefreshes(t, random, p) // so that no token response gets lost
			p.kill()
		}
		time.Sleep(randomUpTo(random, time.Second))
		p.start()
		p.awaitAllUsable(30 * time.Second)
		loads.begin(p)
	}

	for _, p := range pair {
		loads.end(t, p)
	}
	for _, p := range pair {
		if code := p.terminate(30 * time.Second); code != 0 {
			t.Errorf("exit code %d after SIGTERM, want 0", code)
		}
	}
	redemptions := 0
	for account, provider := range providers {
		mustBeSpentOnce(t, dir, provider)
		redemptions += readRecord(t, dir, account).Generation
	}
	t.Logf("%d restarts, %d redemptions, %d requests answered with 2xx", restarts, redemptions, loads.served)
}

// sumOfLoads holds the running loads and counts the requests served.
type sumOfLoads struct {
	running map[*proxy]map[string]*load
	served  int
}

func (s *sumOfLoads) begin(p *proxy) {
	if s.running == nil {
		s.running = map[*proxy]map[string]*load{}
	}
	s.running[p] = map[string]*load{}
	for account := range p.providers {
		s.running[p][account] = startLoad(p, account, 20*time.Millisecond)
	}
}

// end ends the loads on p and checks that every request was served.
func (s *sumOfLoads) end(t *testing.T, p *proxy) {
	t.Helper()
	for account, l := range s.running[p] {
		served, failed, example := l.end()
		s.served += served
		if len(failed) > 0 || served == 0 {
			t.Errorf("%s: %d requests served, others failed: %v; the first: %s", account, served, failed, example)
		}
	}
}

// stopBetweenRefreshes sends SIGSTOP at a random moment without a refresh under way.
func stopBetweenRefreshes(t *testing.T, random *rand.Rand, p *proxy) {
	t.Helper()
	await(t, 30*time.Second, "no refresh is under way", func() bool {
		time.Sleep(randomUpTo(random, 100*time.Millisecond))
		p.signal(syscall.SIGSTOP)
		for account := range p.providers {
			if readRecord(t, p.dir, account).Intent != nil {
				p.signal(syscall.SIGCONT)
				return false
			}
		}
		return true
	})
}

// mustBeSpentOnce checks that every redeemed generation is stored and that no
// refresh token was spent twice. No program may use the directory any more.
func mustBeSpentOnce(t *testing.T, dir string, p *provider) {
	t.Helper()
	c, r := p.counters(), readRecord(t, dir, p.name)
	if c.MaxRedemptions != 1 || c.Reuses != 0 || c.InvalidGrants != 0 || c.Redemptions != r.Generation || r.Intent != nil {
		t.Errorf("%s: counters %+v, record %+v, want each generation redeemed once", p.name, c, r)
	}
}
