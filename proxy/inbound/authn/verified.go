package authn

import (
	"sync"
	"sync/atomic"
	"time"

	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/inbound/authn/jwks"
)

// maxVerified bounds how many tokens are remembered. Only a valid token is, so that a
// stranger crowds out nobody; beyond it the one that was verified first is dropped, and is
// verified again when it comes again.
const maxVerified = 4096

// verified remembers tokens by their SHA-256. Safe for concurrent use.
type verified struct {
	mu     sync.RWMutex
	tokens map[[32]byte]*verifiedToken
	order  [][32]byte // in which they came; a ring when it is full
	next   int
}

// A verifiedToken is what a token proves, as long as its issuer has the key.
type verifiedToken struct {
	caller inbound.Caller
	source *jwks.Source
	key    *jwks.Key
	set    atomic.Pointer[jwks.Set] // the last in which the key was seen
}

// get returns the caller of a token that was verified before.
func (v *verified) get(digest [32]byte) (inbound.Caller, bool) {
	v.mu.RLock()
	t := v.tokens[digest]
	v.mu.RUnlock()
	if t == nil || !time.Now().Before(t.caller.Until) {
		return inbound.Caller{}, false
	}
	set := t.source.Current()
	if set == nil {
		return inbound.Caller{}, false
	}
	if set != t.set.Load() {
		if !set.Has(t.key) {
			return inbound.Caller{}, false
		}
		t.set.Store(set)
	}
	return t.caller, true
}

func (v *verified) put(digest [32]byte, t *verifiedToken) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.tokens == nil {
		v.tokens = map[[32]byte]*verifiedToken{}
	}
	if _, ok := v.tokens[digest]; !ok {
		if len(v.order) < maxVerified {
			v.order = append(v.order, digest)
		} else {
			delete(v.tokens, v.order[v.next])
			v.order[v.next] = digest
			v.next = (v.next + 1) % maxVerified
		}
	}
	v.tokens[digest] = t
}
