package tokens_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
)

// An outage is a time in which the issuer fails every token request in one way, and its
// results for the processes that need a token.
type outage struct {
	length   time.Duration
	failure  error
	replicas int
	demand   time.Duration // for how long apps ask; negative when they do not

	began    time.Time
	asked    []time.Duration // since it began, until the first grant
	answered time.Duration   // from its end to the first grant
	served   time.Duration   // from its end until every process has a token
	refused  int             // requests of apps that got no token
}

// run lets every process of an account need its first token while the issuer is
// down. An app of each process asks again 100 ms after it got its answer.
func (o *outage) run(t *testing.T) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(memory.Store)
		i.Reuse, i.Latency = true, 50*time.Millisecond
		o.began = time.Now()
		i.fault = func(int) (before, after error) {
			if o.answered == 0 {
				o.asked = append(o.asked, time.Since(o.began))
			}
			if past := time.Since(o.began) - o.length; past < 0 {
				return o.failure, nil
			} else if o.answered == 0 {
				o.answered = max(past, 1)
			}
			return nil, nil
		}
		seed := i.seed()
		var mu sync.Mutex
		var apps sync.WaitGroup
		for n := range o.replicas {
			r := newRefresher(i, s, seed, func(c *tokens.Config) { c.Holder = fmt.Sprint("p", n) })
			start(t, r)
			apps.Go(func() {
				for {
					if time.Since(o.began) > o.demand {
						return
					}
					_, err := r.Token(t.Context())
					mu.Lock()
					if err == nil {
						o.served = max(o.served, time.Since(o.began)-o.length)
						mu.Unlock()
						return
					}
					o.refused++
					var unavailable *tokens.UnavailableError
					if !errors.As(err, &unavailable) {
						t.Errorf("error %v", err)
					}
					mu.Unlock()
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		time.Sleep(o.length + 2*time.Minute)
		apps.Wait()
	})
}

// pauses returns the longest and the shortest time between two requests from
// the n-th on.
func (o *outage) pauses(n int) (longest, shortest time.Duration) {
	shortest = time.Hour
	for i := n; i < len(o.asked); i++ {
		pause := o.asked[i] - o.asked[i-1]
		longest, shortest = max(longest, pause), min(shortest, pause)
	}
	return longest, shortest
}

var (
	errNotSent       = &tokens.IssuerError{Class: tokens.NotSent, Err: errors.New("connection refused")}
	errBadGateway    = &tokens.IssuerError{Class: tokens.Ambiguous, Status: 502}
	errServer        = &tokens.IssuerError{Class: tokens.Ambiguous, Status: 500, Code: "server_error"}
	errNoAnswer      = &tokens.IssuerError{Class: tokens.Ambiguous, Err: errors.New("reset")}
	errUnreadable    = &tokens.IssuerError{Class: tokens.Ambiguous, Status: 200, Err: errors.New("answer is not a JSON object")}
	errThrottled     = &tokens.IssuerError{Class: tokens.Throttled, Status: 429}
	errBusy          = &tokens.IssuerError{Class: tokens.Throttled, Status: 503, RetryAfter: 20 * time.Second}
	errInvalidClient = &tokens.IssuerError{Class: tokens.Refused, Status: 401, Code: "invalid_client"}
)

// TestOutageEndsForAppsWithin3s: while apps wait for a token, an issuer that is
// down is asked within 3 s of its last failure, by one process of all.
func TestOutageEndsForAppsWithin3s(t *testing.T) {
	t.Parallel()
	for kind, failure := range map[string]error{"not sent": errNotSent, "502": errBadGateway, "500": errServer} {
		for _, length := range []time.Duration{4 * time.Second, 10 * time.Second, 30 * time.Second, 300 * time.Second} {
			for _, replicas := range []int{1, 3, 5} {
				name := fmt.Sprintf("%s for %v, %d processes", kind, length, replicas)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					o := outage{length: length, failure: failure, replicas: replicas, demand: time.Hour}
					o.run(t)
					t.Logf("%s: %d requests; first grant after %v, all served after %v; %d refusals",
						name, len(o.asked), o.answered, o.served, o.refused)
					if longest, _ := o.pauses(1); longest > 3*time.Second {
						t.Errorf("the issuer was not asked for %v", longest)
					}
					if _, shortest := o.pauses(5); shortest < time.Second {
						t.Errorf("the issuer was asked again after %v", shortest)
					}
					if most := 6 + int(length/(1250*time.Millisecond)); len(o.asked) > most {
						t.Errorf("%d token requests, at most %d were expected", len(o.asked), most)
					}
					if o.answered > 3*time.Second || o.served > 3600*time.Millisecond || o.served == 0 {
						t.Errorf("the first grant came after %v, and the last process served after %v", o.answered, o.served)
					}
				})
			}
		}
	}
}

// TestOutageWithoutDemandBacksOff checks that pauses become long while no app asks.
func TestOutageWithoutDemandBacksOff(t *testing.T) {
	t.Parallel()
	for kind, failure := range map[string]error{"not sent": errNotSent, "502": errBadGateway} {
		for demand, most := range map[time.Duration]int{-1: 24, 20 * time.Second: 24 + 65} {
			t.Run(fmt.Sprintf("%s, demand for %v", kind, demand), func(t *testing.T) {
				t.Parallel()
				o := outage{length: 10 * time.Minute, failure: failure, replicas: 1, demand: demand}
				o.run(t)
				if len(o.asked) > most {
					t.Errorf("%d token requests, at most %d were expected", len(o.asked), most)
				}
				if longest, _ := o.pauses(1); longest < 30*time.Second {
					t.Errorf("the longest pause was %v", longest)
				}
			})
		}
	}
}

// TestFailuresThatAreNoOutage checks that other failures keep their own waits while apps
// ask.
func TestFailuresThatAreNoOutage(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		failure         error
		shortest, least time.Duration // pauses: the shortest, and what the longest is at least
	}{
		"lost answer":                   {errNoAnswer, time.Second, 30 * time.Second},
		"unreadable answer":             {errUnreadable, time.Second, 30 * time.Second},
		"throttled without Retry-After": {errThrottled, time.Second, 30 * time.Second},
		"throttled with Retry-After":    {errBusy, 20 * time.Second, 20 * time.Second},
		"unknown client":                {errInvalidClient, 7 * time.Second, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := outage{length: 5 * time.Minute, failure: x.failure, replicas: 1, demand: time.Hour}
			o.run(t)
			longest, shortest := o.pauses(3)
			if shortest < x.shortest || longest < x.least {
				t.Errorf("pauses of %v to %v", shortest, longest)
			}
		})
	}
}
