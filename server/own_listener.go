package server

import (
	"maps"
	"slices"

	"ticketproxy/config"
	"ticketproxy/config/callers"
	"ticketproxy/proxy"
)

// ownListeners returns the listeners that callers have of their own. Who reaches one is that
// caller.
func (s *Server) ownListeners() []*listener {
	var all []*listener
	file := s.callersInUse()
	for _, name := range slices.Sorted(maps.Keys(file.Callers)) {
		if listen := file.Callers[name].Listen; listen != nil {
			address := config.Address(*listen)
			all = append(all, &listener{
				address:   address,
				variable:  "callers." + name + ".listen in TICKETPROXY_CALLERS_FILE",
				mode:      0o600,
				upstreams: []string{},
				caller:    name,
				tls:       s.tlsOf(address),
			})
		}
	}
	return all
}

// callersInUse returns what CALLERS_FILE says; nothing where nobody is asked who calls.
func (s *Server) callersInUse() callers.File {
	if s.callers == nil {
		return callers.File{}
	}
	return s.callers.gate.rules.Load().file
}

// otherListener returns a caller whose own listener is not the same in both files; "" when
// there is none.
func otherListener(a, b callers.File) string {
	names := maps.Clone(a.Callers)
	maps.Copy(names, b.Callers)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		x, y := a.Callers[name].Listen, b.Callers[name].Listen
		if (x == nil) != (y == nil) || x != nil && *x != *y {
			return name
		}
	}
	return ""
}

// gateOf returns the gate of a listener; nil where nobody is asked who calls.
func (s *Server) gateOf(l *listener) proxy.Gate {
	switch {
	case s.callers == nil:
		return nil
	case l.caller != "":
		return ownGate{s.callers.gate, l.caller}
	}
	return s.callers.gate
}
