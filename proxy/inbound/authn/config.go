package authn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	"ticketproxy/config/callers"
	"ticketproxy/loopback"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/inbound/authn/jwks"
)

type trustFunc = func(*tls.ConnectionState) bool

// A Config is what an Authenticator is made of.
type Config struct {
	File callers.File // as callers.Parse returns it

	// Kubernetes is how this pod reaches its API server; nil outside of a cluster. It is used
	// if the file has an issuer with kubernetes: true.
	Kubernetes *jwks.Kubernetes
	// PlaceholderKey is at least 32 random bytes, the same in all replicas that are to accept
	// each other's placeholders. Without it there are no placeholders.
	PlaceholderKey []byte
	// Trusts reports whether a client's certificate is still of a trusted CA, as
	// inbound.TLSFiles.Trusts does; nil trusts what the handshake has verified.
	Trusts func(*tls.ConnectionState) bool

	Proxy  loopback.ProxyFunc             // to issuers; nil uses no proxy
	Dial   loopback.DialFunc              // nil dials directly
	Report func(issuer string, err error) // gets failures to fetch an issuer's keys; may be nil
	// Previous is the Authenticator that the new one replaces, nil at first. The new one takes
	// over the keys of issuers that are unchanged, and what is counted of addresses. Tokens
	// that were verified are forgotten.
	Previous *Authenticator
}

// New returns an Authenticator. With an issuer of kubernetes: true it reads the pod's token,
// to learn the issuer's name. On an error Previous stays as it is.
func New(c Config) (*Authenticator, error) {
	if n := len(c.PlaceholderKey); n > 0 && n < 32 {
		return nil, errors.New("the key for placeholders is shorter than 32 bytes")
	}
	a := &Authenticator{
		keys:           map[[32]byte]knownKey{},
		issuers:        map[string]*issuer{},
		byUID:          map[uint32]inbound.Caller{},
		proofs:         map[string][32]byte{},
		proves:         map[[32]byte]string{},
		placeholderKey: c.PlaceholderKey,
		trusts:         c.Trusts,
		seed:           maphash.MakeSeed(),
		failures:       newFailures(),
	}
	byName := map[string]*issuer{}
	for _, name := range slices.Sorted(maps.Keys(c.File.Issuers)) {
		i, err := c.newIssuer(name, c.File.Issuers[name])
		if err != nil {
			return nil, err
		}
		if a.issuers[i.source.Issuer] != nil {
			return nil, fmt.Errorf("the issuers %s and %s both are %q: keep one of the two",
				a.issuers[i.source.Issuer].name, name, i.source.Issuer)
		}
		byName[name], a.issuers[i.source.Issuer] = i, i
	}
	for _, name := range slices.Sorted(maps.Keys(c.File.Callers)) {
		if err := a.addCaller(c.File, name, byName); err != nil {
			return nil, err
		}
	}
	return a, a.start(c.Previous)
}

// addCaller adds what proves a caller.
func (a *Authenticator) addCaller(f callers.File, name string, issuers map[string]*issuer) error {
	caller := f.Callers[name]
	prove := func(kind string, digest [32]byte) inbound.Caller {
		a.proves[digest] = name
		return inbound.Caller{Name: name, Proof: kind, ProvedBy: digest}
	}
	for _, digest := range caller.Keys {
		a.keys[digest] = knownKey{digest, prove("key", digest)}
	}
	for _, j := range caller.JWTs {
		if issuers[j.Issuer] == nil {
			return fmt.Errorf("the caller %s is of an issuer that is not in the file", name)
		}
		of := tokenOf{j, prove("token", provedBy("token", f.Issuers[j.Issuer], j))}
		issuers[j.Issuer].callers = append(issuers[j.Issuer].callers, of)
	}
	if caller.Certificate != nil {
		of := certificateOf{*caller.Certificate, prove("certificate", provedBy("certificate", caller.Certificate))}
		a.byCertificate = append(a.byCertificate, of)
	}
	if caller.UID != nil {
		a.byUID[*caller.UID] = prove("uid", provedBy("uid", *caller.UID))
	}
	if caller.Listen != nil {
		prove("listener", provedBy("listener", name, *caller.Listen))
	}
	a.proofs[name] = proofsOf(f, caller)
	prove("placeholder", a.proofs[name])
	return nil
}

// start takes over what a previous Authenticator has, and closes the sources that are not
// used any longer. The previous one goes on with the keys that it has.
func (a *Authenticator) start(previous *Authenticator) error {
	taken := map[*jwks.Source]bool{}
	for _, i := range a.issuers {
		if previous != nil {
			if old := previous.issuers[i.source.Issuer]; old != nil && old.source.same(i.source) {
				i.keys = old.keys
				taken[i.keys] = true
				continue
			}
		}
		var err error
		if i.keys, err = jwks.New(i.source.Config); err != nil {
			return err
		}
	}
	if previous == nil {
		return nil
	}
	a.failures = previous.failures
	for _, old := range previous.issuers {
		if !taken[old.keys] {
			old.keys.Close()
		}
	}
	return nil
}

// Close ends fetches that are under way. It is called once, of the last Authenticator.
func (a *Authenticator) Close() {
	for _, i := range a.issuers {
		i.keys.Close()
	}
}

var _ inbound.Authenticator = (*Authenticator)(nil)
