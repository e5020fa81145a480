// Package tokens keeps one OAuth 2.0 grant per account alive: it holds the
// access token that requests use, and redeems the refresh token ahead of the
// access token's expiry, once per generation, whatever crashes, races or
// restarts there are. It knows no provider, no disk and no network, only an
// Issuer and a Store.
package tokens
