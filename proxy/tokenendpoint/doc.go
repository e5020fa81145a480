// Package tokenendpoint hands out access tokens to apps that call an API themselves: as a
// token endpoint for any OAuth library (RFC 6749, section 4.4), and by a GET for curl. It
// refuses browsers and what came through a forwarder. It never sees a refresh token.
//
// Begin reading at [New].
package tokenendpoint
