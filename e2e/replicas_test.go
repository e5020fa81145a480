package e2e

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// An engine keeps the state that replicas share.
type engine struct {
	stop, start func()
	cost        func() map[string]int // what it was asked for since it was started, by kind
	say         func(cost map[string]int) string
}

// shareAccount has replicas share the account of openticket, with short tokens for single
// use. In the first half nothing happens to them, and no app may see an error. Then they are
// killed and stopped at random, and the engine is killed, too. No refresh token may be
// redeemed twice.
func shareAccount(t *testing.T, e engine, all []*proxy, account *provider) {
	t.Helper()
	var loads []*load
	for _, p := range all {
		p.start()
		p.awaitUsable("openticket", 30*time.Second)
		loads = append(loads, startLoad(p, "openticket", 20*time.Millisecond))
	}
	before := e.cost()
	time.Sleep(*clusterTime / 2)
	cost := e.cost()
	for kind, n := range before {
		cost[kind] -= n
	}
	total := 0
	for _, l := range loads {
		served, failed, example := l.end()
		total += served
		if len(failed) > 0 {
			t.Errorf("apps saw %v, for example %s", failed, example)
		}
	}
	calm := account.counters()
	t.Logf("calm: %d requests, %d redemptions, %s", total, calm.Redemptions, e.say(cost))

	random := newRandom(t)
	events := watchRedemptions(account)
	var kills, stops int
	var outage sync.WaitGroup
	outage.Go(func() {
		time.Sleep(*clusterTime / 8)
		events.add("the engine is stopped")
		e.stop()
		time.Sleep(*clusterTime / 8)
		e.start()
		events.add("the engine is started")
	})
	for end := time.Now().Add(*clusterTime / 2); time.Now().Before(end); {
		p := all[random.IntN(len(all))]
		if random.IntN(2) == 0 {
			kills++
			events.add("killed " + p.admin)
			p.kill()
			time.Sleep(randomUpTo(random, time.Second))
			p.start()
		} else {
			stops++
			events.add("stopped " + p.admin)
			p.signal(syscall.SIGSTOP)
			time.Sleep(randomUpTo(random, 2*time.Second))
			events.add("continued " + p.admin)
			p.signal(syscall.SIGCONT)
		}
		time.Sleep(randomUpTo(random, 2*time.Second))
	}
	outage.Wait()
	if before := events.end(); before != "" {
		t.Logf("before the first reuse of a refresh token:\n%s", before)
	}
	for _, p := range all {
		await(t, 2*time.Minute, "every replica serves again, or knows that the account is dead", func() bool {
			if !p.alive() { // its store refused it while the engine started; a kubelet would do this
				p.start()
			}
			s := p.status("openticket")
			return s.Usable || s.State == "dead"
		})
	}
	storm := account.counters()
	t.Logf("then: %d kills, %d stops, %d redemptions, %d reuses, at most %d of one refresh token; state %s",
		kills, stops, storm.Redemptions-calm.Redemptions, storm.Reuses, storm.MaxRedemptions, all[0].status("openticket").State)
	if storm.MaxRedemptions != 1 {
		t.Errorf("a refresh token was redeemed %d times", storm.MaxRedemptions)
	}
}

// A timeline has what happened to replicas and their account.
type timeline struct {
	stop, stopped chan struct{}

	mu     sync.Mutex
	lines  []string
	reused int // number of lines up to the first reuse; 0 when there was none
}

// watchRedemptions notes what the issuer counts until end is called.
func watchRedemptions(account *provider) *timeline {
	l := &timeline{stop: make(chan struct{}), stopped: make(chan struct{})}
	go func() {
		defer close(l.stopped)
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for last := account.counters(); ; {
			select {
			case <-l.stop:
				return
			case <-ticker.C:
			}
			now := account.counters()
			if now.Redemptions != last.Redemptions {
				l.add(fmt.Sprint("redemption ", now.Redemptions))
			}
			if now.Reuses != last.Reuses {
				l.add(fmt.Sprint("reuse ", now.Reuses))
				l.noteReuse()
			}
			last = now
		}
	}()
	return l
}

func (l *timeline) add(event string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, time.Now().Format("15:04:05.000 ")+event)
}

func (l *timeline) noteReuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reused == 0 {
		l.reused = len(l.lines)
	}
}

// end returns the last events up to the first reuse, if there was one.
func (l *timeline) end() string {
	close(l.stop)
	<-l.stopped
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, l.reused-50):l.reused], "\n")
}
