package server

import (
	"sync"

	"go.uber.org/zap"

	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/policy"
)

// upgrades are the requests to upgrade a connection, such as to WebSocket, that are under way or
// whose connection is open. They would outlast the rules that they began with.
type upgrades struct {
	mu  sync.Mutex
	all map[*upgrade]struct{}
}

// An upgrade is one such request, as its caller was proved and its rule was found.
type upgrade struct {
	caller  inbound.Caller
	request policy.Request
	cut     func() // ends the request and its connection
}

// add notes an upgrade, until remove is called.
func (u *upgrades) add(one *upgrade) (remove func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = map[*upgrade]struct{}{}
	}
	u.all[one] = struct{}{}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.all, one)
	}
}

// cutUnless cuts those that are not allowed any more, and returns how many these are.
func (u *upgrades) cutUnless(allowed func(*upgrade) bool) (cut int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for one := range u.all {
		if !allowed(one) {
			one.cut()
			cut++
		}
	}
	return cut
}

// allow reports whether what proved the caller of an upgrade is in the file, and a rule that
// allows its request.
func (r *rules) allow(u *upgrade) bool {
	return r.authn.StillProves(u.caller) && r.policy.Decide(u.caller.Name, u.request).Allowed()
}

// watch notes an upgrade until it is over. Rules that came after its caller was proved apply to
// it at once.
func (g *gate) watch(u *upgrade) (over func()) {
	over = g.upgrades.add(u)
	if !g.rules.Load().allow(u) {
		u.cut()
	}
	return over
}

// use has new requests take these rules, and cuts the upgrades that these do not allow.
func (g *gate) use(next *rules) {
	g.rules.Store(next)
	if cut := g.upgrades.cutUnless(next.allow); cut > 0 {
		g.log.Info("upgraded connections were closed, which CALLERS_FILE does not allow any more",
			zap.Int("connections", cut))
	}
}
