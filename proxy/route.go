package proxy

import (
	"net/http"

	"ticketproxy/proxy/inbound"
)

// route returns the upstream that serves a request. One with a Host of its own goes
// before one for any Host, and a longer prefix before a shorter one. It is nil
// when none matches. The path is compared as it was sent.
func route(upstreams []*forwarder, r *http.Request) *forwarder {
	path := pathOf(r)
	var best *forwarder
	for _, u := range upstreams {
		if u.Host != "" && !inbound.HostMatches(u.Host, r) || !u.matches(path) {
			continue
		}
		if best == nil || u.moreSpecific(best) {
			best = u
		}
	}
	return best
}

func (u *forwarder) moreSpecific(v *forwarder) bool {
	if (u.Host != "") != (v.Host != "") {
		return u.Host != ""
	}
	return len(u.Prefix) > len(v.Prefix)
}
