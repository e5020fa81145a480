package tokens_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"ticketproxy/tokens"
)

// A downtime is an outage of the simulated issuer.
type downtime struct {
	began, end time.Time
	failures   []error     // one of them answers each request
	asked      []time.Time // requests until the end, and the first after it
	granted    time.Time   // when a request was let through after the end
}

// newDowntime begins an outage. The caller holds h.mu.
func (h *history) newDowntime(length time.Duration) *downtime {
	kinds := [][]error{
		{&tokens.IssuerError{Class: tokens.NotSent, Err: errors.New("refused")}},
		{&tokens.IssuerError{Class: tokens.Ambiguous, Status: 502}},
	}
	kinds = append(kinds, append(kinds[0], kinds[1]...))
	d := &downtime{began: time.Now(), end: time.Now().Add(length), failures: kinds[h.rand.IntN(len(kinds))]}
	h.note("the issuer is down for %v: %v", length, d.failures)
	return d
}

// fail returns the failure of a request in the outage; nil after it. The caller
// holds h.mu.
func (d *downtime) fail(random *rand.Rand) error {
	if d == nil || !d.granted.IsZero() {
		return nil
	}
	now := time.Now()
	d.asked = append(d.asked, now)
	if now.Before(d.end) {
		return d.failures[random.IntN(len(d.failures))]
	}
	d.granted = now
	return nil
}

// most returns how many requests an outage may cost all processes together.
func (d *downtime) most(since time.Time) int {
	return 8 + int(d.end.Sub(since)/(1250*time.Millisecond))
}

// endDowntime checks what an outage cost while other things went wrong too.
func (h *history) endDowntime() {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.down
	if d == nil || time.Now().Before(d.end) {
		return
	}
	if most := d.most(d.began); len(d.asked) > most {
		h.problem("%d token requests in an outage of %v, at most %d were expected", len(d.asked), d.end.Sub(d.began), most)
	}
	h.down = nil
}

// longOutage has the issuer down, with no other fault, until every access token has
// expired and for some time more, while apps ask every process. It checks that the
// issuer is asked often enough and not too often, and that every process serves soon
// after the end.
func (h *history) longOutage() {
	h.mu.Lock()
	lastExpiry := time.Now() // when the last access token expires
	for _, token := range h.issuer.access {
		if token.expiry.After(lastExpiry) {
			lastExpiry = token.expiry
		}
	}
	h.down = h.newDowntime(time.Until(lastExpiry) + time.Duration(4_000+h.rand.IntN(12_000))*time.Millisecond)
	d := h.down
	h.mu.Unlock()
	var apps sync.WaitGroup
	for i, n := range h.processes {
		random := rand.New(rand.NewPCG(h.seed, uint64(2000+i)))
		apps.Go(func() {
			time.Sleep(time.Until(lastExpiry))
			for {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+random.IntN(12_000))*time.Millisecond)
				_, err := n.refresher.Token(ctx)
				cancel()
				now := time.Now()
				switch {
				case err == nil && now.After(d.end):
					return
				case now.After(d.end.Add(5 * time.Second)):
					h.problem("%s has no token %v after the outage's end: %v", n.name, now.Sub(d.end), err)
					return
				}
				time.Sleep(time.Duration(1+random.IntN(1500)) * time.Millisecond)
			}
		})
	}
	apps.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = nil
	last, asked := lastExpiry.Add(2*time.Second), 0 // an app has asked every process
	for _, at := range d.asked {
		if pause := at.Sub(last); pause > 3*time.Second {
			h.problem("in an outage the issuer was not asked for %v until %v", pause, at.Sub(epoch()))
		}
		if at.After(lastExpiry) {
			last = at
			asked++
		}
	}
	if most := d.most(lastExpiry); asked > most {
		h.problem("%d token requests in %v of an outage with demand, at most %d were expected", asked, d.end.Sub(lastExpiry), most)
	}
	if d.granted.IsZero() || d.granted.Sub(d.end) > 3*time.Second {
		h.problem("the outage ended at %v, and the issuer was not asked within 3 s", d.end.Sub(epoch()))
	}
}
