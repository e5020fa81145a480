package proxy

import (
	"net/http"
	"sync"
	"time"
)

// maxAge bounds how long connections are used. Without it, an app would stay with an
// upstream that has moved, or with a host that is being drained.
const maxAge = 5 * time.Minute

// maxSleep is how far the wall clock and the monotonic clock may differ. While a
// machine sleeps, the monotonic clock stands still, by which idle connections are
// closed here; but the upstream closes them.
const maxSleep = 5 * time.Second

// A MaxAgeTransport uses a new transport after maxAge, and after the machine slept.
// The new one looks the host up again; requests in flight end on the old one. Safe
// for concurrent use.
type MaxAgeTransport struct {
	make func() *http.Transport

	mu      sync.Mutex
	current *http.Transport
	born    time.Time
}

// NewMaxAgeTransport returns a transport that uses those that make returns, one after
// the other.
func NewMaxAgeTransport(make func() *http.Transport) *MaxAgeTransport {
	return &MaxAgeTransport{make: make}
}

// RoundTrip implements http.RoundTripper.
func (a *MaxAgeTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	return a.transport(time.Now()).RoundTrip(req)
}

func (a *MaxAgeTransport) transport(now time.Time) *http.Transport {
	a.mu.Lock()
	defer a.mu.Unlock()
	age := now.Sub(a.born)
	slept := now.Round(0).Sub(a.born.Round(0)) - age
	if a.current == nil || age >= maxAge || slept.Abs() >= maxSleep {
		if a.current != nil {
			// What is in use closes when it becomes idle.
			a.current.CloseIdleConnections()
		}
		a.current, a.born = a.make(), now
	}
	return a.current
}

// Leave makes the next request use a new transport.
func (a *MaxAgeTransport) Leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.born = time.Time{}
}

// CloseIdleConnections closes the connections that no request uses.
func (a *MaxAgeTransport) CloseIdleConnections() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current != nil {
		a.current.CloseIdleConnections()
	}
}
