package e2e

import (
	"fmt"
	"sync"
	"time"
)

// A load is an app that makes requests to one account's API, one after the other.
type load struct {
	stop, stopped chan struct{}

	mu      sync.Mutex
	served  int
	failed  map[string]int // number of answers other than 2xx, by status and code
	example string         // the first failure
}

// startLoad makes a request at each interval until end is called.
func startLoad(p *proxy, account string, every time.Duration) *load {
	l := &load{stop: make(chan struct{}), stopped: make(chan struct{}), failed: map[string]int{}}
	go func() {
		defer close(l.stopped)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			began := time.Now()
			a, err := p.request(account)
			l.count(a, err, began)
			select {
			case <-l.stop:
				return
			case <-ticker.C:
			}
		}
	}()
	return l
}

func (l *load) count(a answer, err error, began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what := fmt.Sprint(a.status, " ", a.code)
	switch {
	case err == nil && a.ok():
		l.served++
		return
	case err != nil:
		what = "no answer"
	}
	l.failed[what]++
	if l.example == "" {
		l.example = fmt.Sprintf("after %v: %v %+v", time.Since(began), err, a)
	}
}

// end waits for the request under way, and returns the results.
func (l *load) end() (served int, failed map[string]int, example string) {
	close(l.stop)
	<-l.stopped
	return l.served, l.failed, l.example
}
