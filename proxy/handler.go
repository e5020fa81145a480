package proxy

import "net/http"

// A Handler serves the upstreams of one listener. Its exported fields are set
// before the first request and not changed.
type Handler struct {
	Guard     *Guard
	Upstreams []*Upstream

	budget budget
}

// NewHandler returns the handler of a listener.
func NewHandler(guard *Guard, upstreams ...*Upstream) *Handler {
	h := &Handler{Guard: guard, Upstreams: upstreams}
	h.budget.give(replayBudget)
	return h
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
	refuseUpgrade(r)
	u := route(h.Upstreams, r)
	if u == nil {
		share(w.Header(), origin)
		newProblem(http.StatusNotFound, "no_such_upstream", "No upstream serves this", "no upstream of this listener has this Host and path").Answer(w)
		return
	}
	u.serve(w, r, &h.budget, origin)
}
