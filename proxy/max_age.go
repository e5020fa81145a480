package proxy

import (
	"net/http"
	"sync"
	"time"
)

// maxAge bounds how long connections are used again, so that an upstream that
// has moved, or a host that is drained, is left.
const maxAge = 5 * time.Minute

// maxSleep is how far the clocks may part. While a machine sleeps the monotonic
// one, by which idle connections are closed, stands still, and the upstream
// closes them meanwhile.
const maxSleep = 5 * time.Second

// An MaxAgeTransport transport leaves its connections after some time: requests go to a
// new transport then, which looks the host up anew, while those in flight end
// on the old one. Its fields are set before first use.
type MaxAgeTransport struct {
	New func() *http.Transport

	mu      sync.Mutex
	current *http.Transport
	born    time.Time
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
		a.current, a.born = a.New(), now
	}
	return a.current
}

// Leave has the next request go to a new transport.
func (a *MaxAgeTransport) Leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.born = time.Time{}
}

// CloseIdleConnections closes what no request uses.
func (a *MaxAgeTransport) CloseIdleConnections() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current != nil {
		a.current.CloseIdleConnections()
	}
}
