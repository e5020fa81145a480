package proxy

import (
	"net/http"

	"golang.org/x/sync/semaphore"

	"ticketproxy/proxy/inbound"
)

// A HandlerConfig is what the upstreams of a listener share.
type HandlerConfig struct {
	Guard    *inbound.Guard
	Budget   *semaphore.Weighted // for bodies that are kept: NewReplayBudget's, one for all handlers of the program
	Gate     Gate                // asks who calls; everybody who passes the guard may when nil
	Recorder Recorder            // may be nil
}

// A Handler serves the upstreams of one listener. Safe for concurrent use.
type Handler struct {
	HandlerConfig
	upstreams []*forwarder
}

// NewHandler returns the handler of a listener.
func NewHandler(c HandlerConfig, upstreams ...UpstreamConfig) *Handler {
	h := &Handler{HandlerConfig: c}
	for _, u := range upstreams {
		h.upstreams = append(h.upstreams, newForwarder(u))
	}
	return h
}

// ServeHTTP implements http.Handler. No path is cleaned and none redirected.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.Recorder == nil {
		h.serve(w, r, nil)
		return
	}
	h.record(w, r)
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, record *recording) {
	if p := h.Guard.Refuse(r); p != nil {
		refuse(w, p, "")
		return
	}
	origin := h.Guard.Origin(r)
	if preflight(w, r, origin) {
		return
	}
	dropUpgrade(r)
	u := route(h.upstreams, r)
	record.routed(u)
	if u != nil && u.stubAnswers(r) {
		u.serveStub(w, r, h.Gate, record, origin)
		return
	}
	var caller inbound.Caller
	if h.Gate != nil { // also before it is said that there is no such upstream
		var p *inbound.Problem
		if caller, p = h.Gate.Authenticate(r); p != nil {
			refuse(w, p, origin)
			return
		}
		record.proved(caller)
	}
	if u == nil {
		p := inbound.NewProblem(http.StatusNotFound, "no_such_upstream", "No upstream serves this",
			"no upstream of this listener has this Host and path")
		refuse(w, p, origin)
		return
	}
	u.serve(w, r, visit{handler: h, caller: caller, origin: origin, record: record})
}

// A visit is what was found out about a request before its upstream serves it.
type visit struct {
	handler *Handler
	caller  inbound.Caller // zero when there is no Gate
	origin  string         // of the web page that sent it, if the origin is an allowed one
	record  *recording     // nil when nothing is recorded
}
