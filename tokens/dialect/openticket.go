package dialect

import (
	"net/http"
	"time"
)

// openTicket follows "Request token" and "Refreshing a token" on
// docs.openticket.tech.
//
//   - [D] The body is JSON, with client_id and client_secret in it. [V] The
//     vendor's own PHP library posts a form, so EncodingForm works as well.
//   - [D] A refresh token lives 365 days and can be used once.
//   - [D] The authorization request has client_id, redirect_uri, response_type
//     and state: neither scope nor PKCE.
//   - [I] Errors look like those of PHP's league/oauth2-server. Its version 8
//     answers 401 invalid_request, and that only, to a refresh token which is
//     unknown, expired or spent; version 9 answers 400 invalid_grant. A spent
//     token has no grace. Its Basic reader undoes no form-encoding.
func openTicket() Dialect {
	return Dialect{
		Name:            "openticket",
		UpstreamURL:     "https://api.openticket.tech",
		TokenURL:        "https://auth.openticket.tech/tokens",
		AuthorizeURL:    "https://auth.openticket.tech/tokens/authorize",
		TokenPaths:      []string{"/tokens", "/token", "//token"}, // [D], [V], and a client that joins badly
		ClientAuth:      AuthBody,
		Encoding:        EncodingJSON,
		Grants:          []GrantType{GrantAuthorizationCode, GrantRefreshToken},
		Rotation:        RotationSingleUse,
		RefreshLifetime: 365 * 24 * time.Hour,
		Invalid:         []Answer{{http.StatusUnauthorized, "invalid_request"}},
		StubAnswer: `{"token_type":"Bearer","expires_in":259200,"access_token":"ticketproxy-placeholder",` +
			`"refresh_token":"ticketproxy-placeholder","refresh_token_expires_in":31535999,"info":{"user":{},"companies":[]}}`,
	}
}
