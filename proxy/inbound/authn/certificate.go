package authn

import (
	"crypto/tls"
	"net/http"
	"time"

	"ticketproxy/proxy/inbound"
)

// connectionCaller returns whom a connection proves: "" for nobody, with the reason if the
// client has something that proves no caller.
func (a *Authenticator) connectionCaller(r *http.Request) (inbound.Caller, error) {
	var err error
	if a.byCertificate != nil && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		var caller inbound.Caller
		if caller, err = a.certificateCaller(r.TLS); err == nil {
			return caller, nil
		}
	}
	if len(a.byUID) > 0 {
		if uid, ok := inbound.ConnOf(r.Context()).PeerUID(); ok {
			if caller, ok := a.byUID[uid]; ok && uid != overflowUID {
				return caller, nil
			}
			err = refuse("the user %d of the connection's peer is no caller's", uid)
		}
	}
	return inbound.Caller{}, err
}

// overflowUID is what Linux shows for every user of another user namespace
// (user_namespaces(7)), so it proves nobody.
const overflowUID = 65534

// certificateCaller returns the caller whom a client's certificate proves. crypto/tls has
// verified it when the connection began; a connection may be older than the end of the
// certificate or the removal of its CA.
func (a *Authenticator) certificateCaller(state *tls.ConnectionState) (inbound.Caller, error) {
	if len(state.VerifiedChains) == 0 || a.trusts != nil && !a.trusts(state) {
		return inbound.Caller{}, refuse("the client's certificate is of no CA that is trusted for clients")
	}
	leaf := state.VerifiedChains[0][0]
	if late := time.Since(leaf.NotAfter); late > 0 {
		return inbound.Caller{}, refuse("the client's certificate expired %s ago", round(late))
	}
	if len(leaf.URIs) != 1 {
		return inbound.Caller{}, refuse("the client's certificate has %d URI SANs, and must have one", len(leaf.URIs))
	}
	uri := leaf.URIs[0].String()
	for _, c := range a.byCertificate {
		if c.pattern.Match(uri) {
			caller := c.caller
			caller.Until = leaf.NotAfter
			return caller, nil
		}
	}
	return inbound.Caller{}, refuse("the URI SAN %s of the client's certificate is no caller's", printed(uri))
}
