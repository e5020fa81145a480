package server

import (
	"io"
	"net/http"

	"ticketproxy/audit"
	"ticketproxy/config"
	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
)

// openAudit opens the audit log; nil when it is off.
func openAudit(c config.Config, o Options) (*audit.Log, error) {
	to := audit.Config{Path: c.AuditLog.Path, Required: c.AuditRequired, Log: o.Log.Named("audit")}
	switch c.AuditLog.Output {
	case "":
		return nil, nil
	case "stdout":
		to.Output = o.Stdout
	case "stderr":
		to.Output = o.Stderr
	}
	if to.Path == "" && to.Output == nil {
		to.Output = io.Discard
	}
	return audit.Open(to)
}

// A recorder writes a line of the audit log for each request. It implements proxy.Recorder.
type recorder struct{ log *audit.Log }

// Begin implements proxy.Recorder.
func (a recorder) Begin(r *http.Request) (func(proxy.Record), *inbound.Problem) {
	entry, err := a.log.Begin()
	if err != nil {
		return nil, inbound.AuditUnavailable()
	}
	client, trace := inbound.PeerOf(r), audit.TraceID(r.Header.Get("Traceparent"))
	return func(x proxy.Record) {
		entry.End(audit.Event{
			Action:     "request",
			Caller:     x.Caller.Name,
			Proof:      x.Caller.Proof,
			Client:     client,
			Upstream:   x.Upstream,
			Account:    x.Account,
			Generation: x.Generation,
			Method:     x.Method,
			Path:       x.Path,
			Status:     x.Status,
			Code:       x.Code,
			Reason:     x.Reason,
			Received:   x.Received,
			Sent:       x.Sent,
			TraceID:    trace,
		})
	}, nil
}

// recordRefused writes a line of the audit log for each request that a listener's server
// answers itself.
func (s *Server) recordRefused(l *listener, action string) {
	if s.audit == nil {
		return
	}
	l.server.OnRefused(func(x inbound.Refused) *inbound.Problem {
		entry, err := s.audit.Begin()
		if err != nil {
			return inbound.AuditUnavailable()
		}
		event := audit.Event{
			Action: action,
			Client: x.Client,
			Status: x.Problem.Status,
			Code:   x.Problem.Code,
			Reason: x.Problem.Detail,
			Sent:   x.Sent,
		}
		if r := x.Request; r != nil {
			event.Method, event.Path = r.Method, r.URL.EscapedPath()
			event.TraceID = audit.TraceID(r.Header.Get("Traceparent"))
		}
		entry.End(event)
		return x.Problem
	})
}
