// Package tokens keeps one OAuth 2.0 grant per account alive: it holds the
// access token that requests use, and redeems the refresh token ahead of the
// access token's expiry, once per generation, whatever crashes, races or
// restarts there are. It knows no provider, no disk and no network, only an
// Issuer and a Store.
//
// Begin reading at [Record], then decide.go, which says what to do about a record
// and which record follows from a token request. refresh.go carries that out.
// refresher.go hands out tokens.
package tokens
