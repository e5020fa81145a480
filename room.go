package main

import (
	"runtime/debug"
	"syscall"

	"go.uber.org/zap"

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

// memoryLimit returns how many bytes the runtime may take (GOMEMLIMIT);
// math.MaxInt64 when that is not said.
func memoryLimit() int64 { return debug.SetMemoryLimit(-1) }

const (
	adminPlaces     = 32               // the kubelet, Prometheus and a person
	adminHeaders    = 1 << 20          // bytes of memory for long ones
	keptDescriptors = 32 + adminPlaces // for listeners, the state and token requests
	mostDescriptors = 1 << 20          // where there is no limit
	fewDescriptors  = 1024             // what systems give at least

	keptMemory = 16 << 20  // for all but apps' connections, in bytes
	mostHeader = 64 << 20  // for long headers of requests, in bytes of memory
	mostAnswer = 32 << 20  // for those of answers
	placeTakes = 100 << 10 // bytes of a connection while it sends a body, with the upstream's
)

// appRoom bounds the connections of all apps so that descriptors and memory are
// left for what is not theirs. Beside its own descriptor, a connection may cost
// one to each upstream, where it stays open for the next request.
func (p *process) appRoom(upstreams int, log *zap.Logger) *proxy.Room {
	if p.descriptors == 0 {
		return nil
	}
	all := int(min(p.descriptors, mostDescriptors))
	places := (all - min(keptDescriptors, all/2)) / (1 + upstreams)
	if all < fewDescriptors {
		log.Warn("few files may be open: the limit (ulimit -n) bounds the connections of apps",
			zap.Int("files", all), zap.Int("connections", places))
	}
	headers := p.share(mostHeader)
	if p.memory > 0 {
		left := p.memory - keptMemory - headers - p.share(mostAnswer)
		places = min(places, int(max(left, p.memory/2)/placeTakes))
	}
	return proxy.NewRoom(places, int(headers), log)
}

// share returns how many bytes of memory long headers may take: most, or an
// eighth of what the runtime may take.
func (p *process) share(most int64) int64 {
	if p.memory > 0 {
		return min(most, p.memory/8)
	}
	return most
}
