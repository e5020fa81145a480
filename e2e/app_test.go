package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// An honestApp makes small requests at a steady rate and records their latency. Its
// clients reuse their connections. One client, which startFresh starts, opens a
// connection for each request.
type honestApp struct {
	address string
	stop    chan struct{}
	all     sync.WaitGroup

	mu     sync.Mutex
	kept   []sample
	fresh  []sample
	failed []string
}

// A sample is the start and the latency of one request.
type sample struct {
	at   time.Time
	took time.Duration
}

const (
	keptClients = 4
	keptPace    = 4 * time.Millisecond // of each client: 1,000 requests a second in all
	freshPace   = 20 * time.Millisecond
	honestWait  = 15 * time.Second // time limit of an answer
)

func startHonestApp(t *testing.T, address string) *honestApp {
	t.Helper()
	h := &honestApp{address: address, stop: make(chan struct{})}
	for range keptClients {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		h.all.Go(func() { h.runKeepAlive(c) })
	}
	t.Cleanup(h.end)
	return h
}

// end may be called more than once.
func (h *honestApp) end() {
	select {
	case <-h.stop:
	default:
		close(h.stop)
	}
	h.all.Wait()
}

// runKeepAlive makes requests on one connection.
func (h *honestApp) runKeepAlive(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	h.repeat(keptPace, func() (time.Duration, error) { return get(c, r) }, &h.kept)
}

func (h *honestApp) startFresh() { h.all.Go(h.runFresh) }

// runFresh makes each request on a new connection.
func (h *honestApp) runFresh() {
	h.repeat(freshPace, func() (time.Duration, error) {
		began := time.Now()
		c, err := net.DialTimeout("tcp", h.address, honestWait)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		_, err = get(c, bufio.NewReader(c))
		return time.Since(began), err
	}, &h.fresh)
}

// repeat ends after the first failure, because the connection is then unusable.
func (h *honestApp) repeat(pace time.Duration, once func() (time.Duration, error), into *[]sample) {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-ticker.C:
		}
		at := time.Now()
		took, err := once()
		h.mu.Lock()
		if err != nil {
			h.failed = append(h.failed, fmt.Sprintf("after %v: %v", time.Since(at), err))
			h.mu.Unlock()
			return
		}
		*into = append(*into, sample{at, took})
		h.mu.Unlock()
	}
}

var errRefused = errors.New("the answer is not 200")

func get(c net.Conn, r *bufio.Reader) (time.Duration, error) {
	began := time.Now()
	c.SetDeadline(began.Add(honestWait))
	if _, err := io.WriteString(c, "GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0, err
	}
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%w: %s", errRefused, res.Status)
	}
	return time.Since(began), nil
}

// failures returns the requests so far that were not answered with 200.
func (h *honestApp) failures() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.failed)
}

// answers returns the number of answers so far.
func (h *honestApp) answers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.kept) + len(h.fresh)
}

// A latency describes an honest app's samples in a time interval.
type latency struct {
	count          int
	median, p99    time.Duration // of kept connections; each the median over windows
	best           time.Duration // lowest p99 of a window
	worst          time.Duration
	freshMedian    time.Duration
	freshWorst     time.Duration
	windows, fresh int
}

func (l latency) String() string {
	us := func(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
	return fmt.Sprintf("p99 %v (at best %v), median %v, worst %v of %d answers in %d windows; "+
		"%d on fresh connections: median %v, worst %v",
		us(l.p99), us(l.best), us(l.median), us(l.worst), l.count, l.windows,
		l.fresh, us(l.freshMedian), us(l.freshWorst))
}

// window is a second, which has a thousand answers. The median of the windows' 99th
// percentiles tolerates one pause of the machine. A single percentile would not.
const window = time.Second

func (h *honestApp) between(from, to time.Time) latency {
	h.mu.Lock()
	defer h.mu.Unlock()
	var l latency
	kept := withMissed(h.kept)
	var medians, p99s []time.Duration
	for begin := from; !begin.Add(window).After(to); begin = begin.Add(window) {
		all := within(kept, begin, begin.Add(window))
		if len(all) == 0 { // the requests are still unanswered
			all = []time.Duration{window}
		}
		medians, p99s = append(medians, percentile(all, 50)), append(p99s, percentile(all, 99))
		l.count += len(all)
		l.worst = max(l.worst, all[len(all)-1])
		l.windows++
	}
	if l.windows > 0 {
		slices.Sort(medians)
		slices.Sort(p99s)
		l.median, l.p99, l.best = percentile(medians, 50), percentile(p99s, 50), p99s[0]
	}
	if all := within(h.fresh, from, to); len(all) > 0 {
		l.fresh, l.freshMedian, l.freshWorst = len(all), percentile(all, 50), all[len(all)-1]
	}
	return l
}

// withMissed adds the requests that a client would have made while it waited for an
// answer. Without them a pause of seconds would be one slow answer among a thousand.
func withMissed(samples []sample) []sample {
	all := slices.Clone(samples)
	for _, s := range samples {
		for s.took > keptPace {
			s.at, s.took = s.at.Add(keptPace), s.took-keptPace
			all = append(all, s)
		}
	}
	return all
}

// within returns the sorted latencies of requests that began in a time interval.
func within(samples []sample, from, to time.Time) []time.Duration {
	var all []time.Duration
	for _, s := range samples {
		if !s.at.Before(from) && s.at.Before(to) {
			all = append(all, s.took)
		}
	}
	slices.Sort(all)
	return all
}

// percentile returns the p-th percentile of a sorted slice.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)-1)*p/100]
}
