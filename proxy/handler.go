package proxy

import (
	"net/http"

	"golang.org/x/sync/semaphore"

	"ticketproxy/proxy/inbound"
)

// A Handler serves the upstreams of one listener. Safe for concurrent use.
type Handler struct {
	guard     *inbound.Guard
	budget    *semaphore.Weighted // for bodies that are kept
	upstreams []*upstream
}

// NewHandler returns the handler of a listener. The budget is NewReplayBudget's, one
// for all handlers of the program.
func NewHandler(guard *inbound.Guard, budget *semaphore.Weighted, upstreams ...UpstreamConfig) *Handler {
	h := &Handler{guard: guard, budget: budget}
	for _, c := range upstreams {
		h.upstreams = append(h.upstreams, newUpstream(c))
	}
	return h
}

// ServeHTTP implements http.Handler. No path is cleaned and none redirected.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := h.guard.Refuse(r); p != nil {
		p.Answer(w)
		return
	}
	origin := h.guard.Origin(r)
	if preflight(w, r, origin) {
		return
	}
	dropUpgrade(r)
	u := route(h.upstreams, r)
	if u == nil {
		setCORS(w.Header(), origin)
		p := inbound.NewProblem(http.StatusNotFound, "no_such_upstream", "No upstream serves this",
			"no upstream of this listener has this Host and path")
		p.Answer(w)
		return
	}
	u.serve(w, r, h.budget, origin)
}
