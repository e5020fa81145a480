package sandbox

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// maxBody is far above what the APIs take, so a client reaches its own limits first.
const maxBody = 8 << 20

// serveToken holds the mutex only between the two delays. A slow issuer therefore
// answers other requests meanwhile, and still spends a token atomically.
func (p *Provider) serveToken(w http.ResponseWriter, r *http.Request) {
	if p.dropBeforeRead() {
		panic(http.ErrAbortHandler)
	}
	// The body is read before any delay, because net/http notices that a client has
	// disconnected only after the body was read.
	req, ok := readRequest(w, r)
	if !ok {
		return
	}
	p.mu.Lock()
	before, after := p.faults.SlowBeforeCommit, p.faults.SlowAfterCommit
	p.mu.Unlock()

	pause(r.Context(), before)
	a, how := p.grant(req)
	pause(r.Context(), after)

	switch how {
	case dropConnection:
		panic(http.ErrAbortHandler)
	case sendHalf:
		a.writeHalf(w)
	default:
		a.write(w, r)
	}
}

func (p *Provider) dropBeforeRead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counters.TokenRequests++
	if !take(&p.faults.DropBeforeRead) {
		return false
	}
	p.counters.FaultsInjected++
	return true
}

func (p *Provider) grant(req request) (answer, delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a, ok := p.faults.refuse(); ok {
		p.counters.FaultsInjected++
		return a, sendWhole
	}
	a := p.vendor.token(req)
	if a.status != http.StatusOK {
		return a, sendWhole
	}
	s := p.faults.delivery()
	if s != sendWhole {
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

// api checks the token before the path, so that a caller without a token cannot tell
// which paths exist.
func (p *Provider) api(req request) answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, allow := match(p.vendor.routes(), req)
	if found != nil && found.open {
		return found.serve(req)
	}
	p.counters.APIRequests++
	if a := p.checkBearer(req); a != nil {
		if a.status == http.StatusUnauthorized {
			p.counters.APIUnauthorized++
		}
		return *a
	}
	switch {
	case found != nil:
		return found.serve(req)
	case allow != "":
		return p.vendor.errorAnswer(http.StatusMethodNotAllowed, "The method is not supported here.").with("Allow", allow)
	default:
		return p.vendor.errorAnswer(http.StatusNotFound, "There is nothing here.")
	}
}

func (p *Provider) checkBearer(req request) *answer {
	if take(&p.faults.APIUnauthorized) {
		a := p.vendor.unauthorized()
		return &a
	}
	return p.vendor.checkBearer(req)
}

// pause waits. It aborts the request when the client disconnects.
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

// readRequest reads the whole body. It returns false after it has answered.
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
