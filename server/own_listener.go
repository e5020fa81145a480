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

// notOpened returns a sentence for each listener of a caller's own that the file names and the
// process has not opened.
func notOpened(file callers.File, opened map[string]callers.Address) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(file.Callers)) {
		listen := file.Callers[name].Listen
		if listen == nil {
			continue
		}
		if at, ok := opened[name]; !ok || at != *listen {
			all = append(all, "caller "+name+" has no listener at "+config.Address(*listen).String()+" yet")
		}
	}
	return all
}

// listenersOf returns the listeners of callers' own that a file names, by caller.
func listenersOf(file callers.File) map[string]callers.Address {
	all := map[string]callers.Address{}
	for name, caller := range file.Callers {
		if caller.Listen != nil {
			all[name] = *caller.Listen
		}
	}
	return all
}

// gateOf returns the gate of a listener; nil where nobody is asked who calls.
func (s *Server) gateOf(l *listener) proxy.Gate {
	switch {
	case s.callers == nil:
		return nil
	case l.caller != "":
		return ownGate{s.callers.gate, l.caller, callers.Address(l.address)}
	}
	return s.callers.gate
}
