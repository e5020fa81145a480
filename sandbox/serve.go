package sandbox

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// maxBody is far above what the APIs take, so that a client's own limits are met first.
const maxBody = 8 << 20

// serveToken holds the mutex only between the two delays: a slow issuer answers
// others meanwhile, and spends in one step.
func (p *Provider) serveToken(w http.ResponseWriter, r *http.Request) {
	if p.dropsUnread() {
		panic(http.ErrAbortHandler)
	}
	// The body is read before any delay: net/http notices that a client has
	// left only once the body is read.
	req, ok := readRequest(w, r)
	if !ok {
		return
	}
	p.mu.Lock()
	before, after := p.faults.SlowBeforeCommit, p.faults.SlowAfterCommit
	p.mu.Unlock()

	pause(r.Context(), before)
	a, spoilt := p.grant(req)
	pause(r.Context(), after)

	switch spoilt {
	case spoilDrop:
		panic(http.ErrAbortHandler)
	case spoilHalve:
		a.writeHalf(w)
	default:
		a.write(w, r)
	}
}

func (p *Provider) dropsUnread() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counters.TokenRequests++
	if !take(&p.faults.DropBeforeRead) {
		return false
	}
	p.counters.FaultsInjected++
	return true
}

func (p *Provider) grant(req request) (answer, spoil) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a, ok := p.faults.refuse(); ok {
		p.counters.FaultsInjected++
		return a, spoilNone
	}
	a := p.vendor.token(req)
	if a.status != http.StatusOK {
		return a, spoilNone
	}
	s := p.faults.spoil()
	if s != spoilNone {
		p.counters.FaultsInjected++
	}
	return a, s
}

func (p *Provider) serveAPI(w http.ResponseWriter, r *http.Request) {
	req, ok := readRequest(w, r)
	if !ok {
		return
	}
	p.api(req).write(w, r)
}

// api looks at the token before the path, so that a path that does not exist
// tells a stranger nothing.
func (p *Provider) api(req request) answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, allow := match(p.vendor.routes(), req)
	if found != nil && found.open {
		return found.serve(req)
	}
	p.counters.APIRequests++
	if a := p.unauthorized(req); a != nil {
		if a.status == http.StatusUnauthorized {
			p.counters.APIUnauthorized++
		}
		return *a
	}
	switch {
	case found != nil:
		return found.serve(req)
	case allow != "":
		return p.vendor.fault(http.StatusMethodNotAllowed, "The method is not supported here.").with("Allow", allow)
	default:
		return p.vendor.fault(http.StatusNotFound, "There is nothing here.")
	}
}

func (p *Provider) unauthorized(req request) *answer {
	if take(&p.faults.APIUnauthorized) {
		a := p.vendor.unauthorized()
		return &a
	}
	return p.vendor.refusal(req)
}

// pause waits, and gives the request up when its client has.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		panic(http.ErrAbortHandler)
	}
}

// readRequest reads the body whole; false means that it has answered.
func readRequest(w http.ResponseWriter, r *http.Request) (request, bool) {
	req, err := newRequest(w, r)
	if err == nil {
		return req, true
	}
	var tooLarge *http.MaxBytesError
	if !errors.As(err, &tooLarge) {
		panic(http.ErrAbortHandler)
	}
	answer{status: http.StatusRequestEntityTooLarge}.write(w, r)
	return request{}, false
}
