package authn

import (
	"hash/maphash"
	"net/http"
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

// get returns a token that was verified before and still counts; nil if there is none.
func (v *verified) get(digest [32]byte) *verifiedToken {
	v.mu.RLock()
	t := v.tokens[digest]
	v.mu.RUnlock()
	if t == nil || !t.counts() {
		return nil
	}
	return t
}

// counts reports whether the token has not expired, and its issuer has its key.
func (t *verifiedToken) counts() bool {
	if !time.Now().Before(t.caller.Until) {
		return false
	}
	set := t.source.Current()
	if set == nil {
		return false
	}
	if set != t.set.Load() {
		if !set.Has(t.key) {
			return false
		}
		t.set.Store(set)
	}
	return true
}

// A lastToken is the token of the last request of a connection: an app mostly sends the same one
// again, and it need not be parsed and digested then. The value of its field is compared only when
// its hash is the same. The hash has a key that nobody knows, so the time that this takes says nothing
// of the token to others whose requests come on the same connection. Each Authenticator has a key of
// its own, so it knows no token by another one's rules.
type lastToken struct {
	hash  uint64
	value string // of the header field
	token *verifiedToken
}

// lastCaller returns the caller of a request that has the same token as the one before.
func (a *Authenticator) lastCaller(r *http.Request, lines []string) (inbound.Caller, bool) {
	last, ok := inbound.ConnOf(r.Context()).Proof().(*lastToken)
	if !ok || len(lines) != 1 || len(lines[0]) != len(last.value) {
		return inbound.Caller{}, false
	}
	if maphash.String(a.seed, lines[0]) != last.hash || lines[0] != last.value || !last.token.counts() {
		return inbound.Caller{}, false
	}
	return last.token.caller, true
}

// setLast remembers the token of a request for the next one.
func (a *Authenticator) setLast(r *http.Request, c credential, token *verifiedToken) {
	if !c.basic {
		last := &lastToken{hash: maphash.String(a.seed, c.value), value: c.value, token: token}
		inbound.ConnOf(r.Context()).SetProof(last)
	}
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
