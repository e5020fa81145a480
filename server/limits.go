package server

import (
	"go.uber.org/zap"

	"ticketproxy/process"
	"ticketproxy/proxy/inbound"
)

const (
	adminConnections = 32                    // the kubelet, Prometheus and a person
	adminHeaders     = 1 << 20               // bytes of memory for long ones
	keptDescriptors  = 32 + adminConnections // for listeners, the state and token requests
	mostDescriptors  = 1 << 20               // where there is no limit
	fewDescriptors   = 1024                  // what systems give at least

	keptMemory      = 16 << 20  // for all but apps' connections, in bytes
	mostHeader      = 64 << 20  // for long headers of requests, in bytes of memory
	mostAnswer      = 32 << 20  // for those of answers
	connectionTakes = 100 << 10 // bytes of a connection while it sends a body, with the upstream's
)

// appLimiter bounds the connections of all apps so that descriptors and memory are
// left for what is not theirs. Beside its own descriptor, a connection may cost
// one to each upstream, where it stays open for the next request.
func appLimiter(limits process.Limits, upstreams int, log *zap.Logger) *inbound.ConnLimiter {
	if limits.Files == 0 {
		return nil
	}
	all := int(min(limits.Files, mostDescriptors))
	connections := (all - min(keptDescriptors, all/2)) / (1 + upstreams)
	if all < fewDescriptors {
		log.Warn("few files may be open: the limit (ulimit -n) bounds the connections of apps",
			zap.Int("files", all), zap.Int("connections", connections))
	}
	headers := share(limits, mostHeader)
	if limits.Memory > 0 {
		left := limits.Memory - keptMemory - headers - share(limits, mostAnswer)
		connections = min(connections, int(max(left, limits.Memory/2)/connectionTakes))
	}
	return inbound.NewConnLimiter(connections, int(headers), log)
}

// share returns how many bytes of memory long headers may take: most, or an
// eighth of what the runtime may take.
func share(limits process.Limits, most int64) int64 {
	if limits.Memory > 0 {
		return min(most, limits.Memory/8)
	}
	return most
}
