// Package authn finds out who sent a request, by the proofs of CALLERS_FILE: static keys,
// tokens of an issuer (JWT, RFC 7519), client certificates, peers of Unix sockets, listeners
// of a caller's own, and placeholders. It knows no upstream and no rule: what a caller may
// do is known to proxy/policy.
//
// # Which proof counts
//
// Proxy-Authorization, else what the connection proves (a client certificate, a Unix
// socket's peer), else Authorization. Where an earlier one is there and wrong, no later one
// is looked at; only a certificate or a peer of no caller's is passed over, since a client
// has these without asking for it. An Authorization beside one that counts is the app's own.
//
// # What a stranger costs
//
// Proofs that are cheap to check are always checked: keys, placeholders, certificates, peers,
// and tokens that were verified before. So nobody who shares an address with a stranger is
// locked out with them. A signature is checked only of a token whose claims fit. An address may
// send twenty wrong signatures at once, and ten a second: beyond that, none of its new tokens is
// checked. It may fail in any way twenty times at once, and once a second: beyond that, the answer
// to a failure is 429.
//
// A token whose issuer cannot be asked for its key is no failure, since it may be a good one.
//
// No error has a part of a credential. It may quote what a token claims of issuer, audience
// and subject, bounded and printable.
//
// Begin reading at [Authenticator].
package authn
