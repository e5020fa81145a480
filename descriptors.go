package main

import (
	"syscall"

	"ticketproxy/proxy"
)

// descriptors returns how many files the process may have open; 0 when that is
// not known. The runtime has raised it as far as it goes.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur)
}

const (
	adminPlaces     = 32               // the kubelet, Prometheus and a person
	keptDescriptors = 32 + adminPlaces // for listeners, the state and token requests
	mostDescriptors = 1 << 20          // where there is no limit
)

// appRoom bounds the connections of all apps so that descriptors are left for
// what is not theirs. Beside its own, a connection may cost one to each
// upstream, where it stays open for the next request.
func (p *process) appRoom(upstreams int) *proxy.Room {
	if p.descriptors == 0 {
		return nil
	}
	all := int(min(p.descriptors, mostDescriptors))
	return proxy.NewRoom((all - min(keptDescriptors, all/2)) / (1 + upstreams))
}
