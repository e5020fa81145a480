package authn

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"hash/maphash"
	"net/http"
	"strings"

	"ticketproxy/config/callers"
	"ticketproxy/proxy/inbound"
)

// An Authenticator finds out who sent a request. Safe for concurrent use; it is not changed
// after New. It is an inbound.Authenticator.
type Authenticator struct {
	keys           map[[32]byte]knownKey
	issuers        map[string]*issuer // by the claim iss
	byCertificate  []certificateOf
	byUID          map[uint32]inbound.Caller
	proofs         map[string][32]byte // of each caller, for placeholders
	proves         map[[32]byte]string // the caller of each Caller.ProvedBy
	placeholderKey []byte
	trusts         trustFunc

	verified verified
	seed     maphash.Seed // of lastToken.hash
	failures *failures
}

// A certificateOf is a caller's pattern.
type certificateOf struct {
	pattern callers.URIPattern
	caller  inbound.Caller
}

// Authenticate implements inbound.Authenticator.
func (a *Authenticator) Authenticate(r *http.Request) (inbound.Caller, *inbound.Problem) {
	caller, err := a.authenticate(r)
	return caller, a.problem(r, err)
}

// Prove returns the caller whom a client's id and secret prove, as in a token request (RFC
// 6749, section 2.3.1). The secret is a key or a token.
func (a *Authenticator) Prove(r *http.Request, id, secret string) (inbound.Caller, *inbound.Problem) {
	var caller inbound.Caller
	err := refuse("the client secret is longer than 8 KiB, or has bytes that no key has")
	if len(secret) <= maxHeader && isToken68(secret) {
		caller, err = a.credentialCaller(r, credential{text: secret, basic: true, user: id})
	}
	return caller, a.problem(r, err)
}

// Listener returns the Authenticator of a listener of a caller's own. Who reaches it is that
// caller, whatever they send, unless the file does not give it to that caller any more.
func (a *Authenticator) Listener(caller string, at callers.Address) inbound.Authenticator {
	return ownListener{a, inbound.Caller{Name: caller, Proof: "listener", ProvedBy: provedBy("listener", caller, at)}}
}

type ownListener struct {
	*Authenticator
	caller inbound.Caller
}

func (l ownListener) Authenticate(*http.Request) (inbound.Caller, *inbound.Problem) {
	if !l.StillProves(l.caller) {
		return inbound.Caller{}, inbound.NewProblem(http.StatusForbidden, "forbidden", "The caller has no listener here",
			"CALLERS_FILE does not give this listener to caller "+l.caller.Name+" any more")
	}
	return l.caller, nil
}

// StillProves reports whether what proved a caller is in the file. A proof may have expired
// meanwhile: it is not looked at again.
func (a *Authenticator) StillProves(c inbound.Caller) bool {
	name, ok := a.proves[c.ProvedBy]
	return ok && name == c.Name
}

// provedBy returns the Caller.ProvedBy of something in the file.
func provedBy(what ...any) [sha256.Size]byte {
	text, err := json.Marshal(what)
	if err != nil { // of strings, numbers and booleans
		panic(err)
	}
	return sha256.Sum256(text)
}

// authenticate follows the order that the package's comment tells.
func (a *Authenticator) authenticate(r *http.Request) (inbound.Caller, error) {
	field := "Proxy-Authorization"
	lines, sent := r.Header[field]
	if !sent {
		caller, err := a.connectionCaller(r)
		if caller.Name != "" {
			return caller, nil
		}
		field = "Authorization"
		if lines, sent = r.Header[field]; !sent && err != nil {
			return inbound.Caller{}, err
		}
	}
	if !sent {
		return inbound.Caller{}, &refusal{missing: true, detail: "the request proves no caller: " +
			"send a key or a token in Proxy-Authorization or Authorization, as Bearer or Basic"}
	}
	if caller, ok := a.lastCaller(r, lines); ok {
		return caller, nil
	}
	c, err := headerCredential(field, lines)
	if err != nil {
		return inbound.Caller{}, err
	}
	return a.credentialCaller(r, c)
}

func (a *Authenticator) credentialCaller(r *http.Request, c credential) (inbound.Caller, error) {
	var caller inbound.Caller
	var err error
	switch {
	case isKey(c.text):
		caller, err = a.keyCaller(c.text)
	case isPlaceholder(c.text):
		caller, err = a.placeholderCaller(c.text)
	case strings.Count(c.text, ".") == 2:
		caller, err = a.tokenCaller(r, c)
	case strings.Count(c.text, ".") == 4:
		err = refuse("the token is encrypted, and only a signed one is accepted")
	default:
		err = refuse("the credential is neither a key (tpk_…), nor a placeholder, nor a signed token (JWT)")
	}
	if err != nil {
		return inbound.Caller{}, err
	}
	if c.basic && c.user != caller.Name {
		return inbound.Caller{}, refuse("the user name is not that of the caller whom the %s proves", caller.Proof)
	}
	return caller, nil
}

// problem returns the answer to an error, and counts the failure.
func (a *Authenticator) problem(r *http.Request, err error) *inbound.Problem {
	if err == nil {
		return nil
	}
	of := refusal{detail: "the proof cannot be checked"}
	if why, ok := errors.AsType[*refusal](err); ok {
		of = *why
	}
	if of.limited == 0 && !of.missing && !of.unavailable {
		of.limited = a.failures.note(addressOf(r.RemoteAddr), of.signature)
	}
	return of.problem()
}
