// Package jwks fetches and keeps the public keys with which an issuer signs its tokens
// (RFC 7517), found by OpenID Connect Discovery or at the API server of a cluster. It knows
// keys and issuers, and nothing of tokens, callers or requests.
//
// What a stranger can make it do is bounded: one fetch of an issuer in FetchInterval,
// whatever key is asked for, and a fetch is bounded in time and size.
//
// Begin reading at [Source].
package jwks
