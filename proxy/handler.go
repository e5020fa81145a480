package proxy

import (
	"net/http"

	"golang.org/x/sync/semaphore"

	"ticketproxy/proxy/inbound"
)

// A Handler serves the upstreams of one listener. Its exported fields are set
// before the first request and not changed.
type Handler struct {
	Guard     *inbound.Guard
	Upstreams []*Upstream
	Budget    *semaphore.Weighted // of NewReplayBudget; one for all handlers of the program
}

// NewHandler returns the handler of a listener. An upstream belongs to one handler,
// and its fields are not changed from then on.
func NewHandler(guard *inbound.Guard, budget *semaphore.Weighted, upstreams ...*Upstream) *Handler {
	for _, u := range upstreams {
		u.build()
	}
	return &Handler{Guard: guard, Budget: budget, Upstreams: upstreams}
}

// ServeHTTP implements http.Handler. No path is cleaned and none redirected.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := h.Guard.Refuse(r); p != nil {
		p.Answer(w)
		return
	}
	origin := h.Guard.Origin(r)
	if preflight(w, r, origin) {
		return
	}
	dropUpgrade(r)
	u := route(h.Upstreams, r)
	if u == nil {
		setCORS(w.Header(), origin)
		inbound.NewProblem(
			http.StatusNotFound,
			"no_such_upstream",
			"No upstream serves this",
			"no upstream of this listener has this Host and path",
		).Answer(
			w,
		)
		return
	}
	u.serve(w, r, h.Budget, origin)
}
