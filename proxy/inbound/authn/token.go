package authn

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/inbound/authn/jwks"
)

// algorithms are those that tokens may be signed with. None is symmetric, so that no public
// key can be taken for a secret.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}
}

// tokenCaller returns the caller whom a token proves. It is checked cheapest first: form,
// issuer, times and audience before a key is looked for, and that before the signature. What
// a token says is used only when all of it has been checked.
func (a *Authenticator) tokenCaller(r *http.Request, c credential) (inbound.Caller, error) {
	digest := digestOf(c.text)
	if of := a.verified.get(digest); of != nil {
		a.setLast(r, c, of)
		return of.caller, nil
	}
	of, err := a.verify(r, c.text)
	if err != nil {
		return inbound.Caller{}, err
	}
	a.verified.put(digest, of)
	a.setLast(r, c, of)
	return of.caller, nil
}

// verify verifies a token.
func (a *Authenticator) verify(r *http.Request, text string) (*verifiedToken, error) {
	if wait := a.failures.mayCheck(addressOf(r.RemoteAddr)); wait > 0 {
		return nil, &refusal{limited: wait, detail: "its token was not checked, and may be good"}
	}
	token, err := jose.ParseSignedCompact(text, algorithms())
	if err != nil {
		return nil, malformed(err)
	}
	header := token.Signatures[0].Protected
	if err := checkHeader(header); err != nil {
		return nil, err
	}
	c, err := parseClaims(token.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, err
	}
	from := a.issuers[c.issuer]
	if from == nil {
		return nil, refuse("the token's issuer %s is not listed in CALLERS_FILE", printed(c.issuer))
	}
	if err := from.check(c); err != nil {
		return nil, err
	}
	key, set, err := from.verify(r, token, header)
	if err != nil {
		return nil, err
	}
	caller, err := from.callerOf(c)
	if err != nil {
		return nil, err
	}
	caller.Until = c.expires.Add(leeway)
	of := &verifiedToken{caller: caller, source: from.keys, key: key}
	of.set.Store(set)
	return of, nil
}

// malformed returns the refusal of a token that does not parse.
func malformed(err error) error {
	if of, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		got := "another"
		for _, known := range []string{"none", "HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "ES384", "ES512"} {
			if strings.EqualFold(string(of.Got), known) {
				got = known
			}
		}
		return refuse("the token's algorithm is %s; RS256, ES256 and EdDSA are accepted", got)
	}
	return refuse("the token is not a signed token (JWS) in the compact form")
}

// checkHeader checks a token's header. What names or brings a key (jku, jwk, x5u, x5c) is
// not looked at: keys come from the issuer.
func checkHeader(h jose.Header) error {
	for _, name := range []jose.HeaderKey{"crit", "b64", "enc"} {
		if _, ok := h.ExtraHeaders[name]; ok {
			return refuse("the token's header has %s, which is not supported", name)
		}
	}
	typ, ok := h.ExtraHeaders["typ"]
	if !ok {
		return nil
	}
	text, _ := typ.(string)
	switch strings.TrimPrefix(strings.ToLower(text), "application/") {
	case "jwt", "at+jwt": // RFC 7519, section 5.1, and RFC 9068, section 2.1
		return nil
	}
	return refuse("the token's type (typ) is not that of an access or identity token")
}

// check checks what a token claims, apart from its subject.
func (i *issuer) check(c claims) error {
	if err := c.checkTime(); err != nil {
		return err
	}
	if at := slices.IndexFunc(c.audience, i.isReserved); at >= 0 {
		return refuse("the token has the audience %s, so it is good at its issuer's own API, and must not be sent here: "+
			"ask for one with the audience %q alone", printed(c.audience[at]), i.audiences[0])
	}
	if !slices.ContainsFunc(c.audience, func(s string) bool { return slices.Contains(i.audiences, s) }) {
		got := "no audience"
		if len(c.audience) > 0 {
			got = "the audience " + printed(c.audience[0])
		}
		return refuse("the token has %s, and must have %s", got, printed(i.audiences[0]))
	}
	if c.subject == "" {
		return refuse("the token has no subject (sub)")
	}
	if _, ok := c.all["cnf"]; ok { // RFC 7800: who sends it must prove possession of a key
		return refuse("the token is bound to a key of its client (cnf), which is not supported")
	}
	return nil
}

// verify checks the signature, and returns the key.
func (i *issuer) verify(r *http.Request, token *jose.JSONWebSignature, h jose.Header) (*jwks.Key, *jwks.Set, error) {
	keys, set, err := i.keys.Find(r.Context(), h.KeyID, h.Algorithm)
	switch {
	case errors.Is(err, jwks.ErrUnknownKey):
		return nil, nil, &refusal{signature: true, detail: "the token's key is not one of the issuer " + i.name +
			", whose keys are asked for again every ten seconds at most"}
	case err != nil:
		return nil, nil, &refusal{unavailable: true, detail: "the keys of the issuer " + i.name + " cannot be fetched now"}
	}
	for _, key := range keys {
		if _, err := token.Verify(key.Public); err == nil {
			return key, set, nil
		}
	}
	return nil, nil, &refusal{signature: true, detail: "the token's signature is not by the key that it names"}
}

// callerOf returns the caller of a token that is valid. The file has no token prove two
// callers; if one does nevertheless, it proves none.
func (i *issuer) callerOf(c claims) (inbound.Caller, error) {
	var found inbound.Caller
	var missing string
	for _, of := range i.callers {
		if !of.Subject.Match(c.subject) {
			continue
		}
		name := missingClaim(of, c)
		switch {
		case name != "":
			missing = name
		case found.Name != "" && found.Name != of.caller.Name:
			return inbound.Caller{}, refuse("the token proves two callers")
		default:
			found = of.caller
		}
	}
	switch {
	case found.Name != "":
		return found, nil
	case missing != "":
		return inbound.Caller{}, refuse("the token's subject %s is a caller's, but its claim %s has another value",
			printed(c.subject), printed(missing))
	}
	return inbound.Caller{}, refuse("the token's subject %s is no caller's", printed(c.subject))
}

// missingClaim returns the name of a claim that does not match, "" when all do.
func missingClaim(of tokenOf, c claims) string {
	for _, want := range of.Claims {
		if !want.Match(c.value(want.Name)) {
			return want.Name
		}
	}
	return ""
}
