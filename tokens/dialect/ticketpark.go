package dialect

import (
	"time"
)

// ticketpark follows "Authentication" in github.com/Ticketpark/api-docs.
//
//   - [D] The body is a form; client key and secret are in a Basic header; the
//     answer's media type is asked for. The grants are password, once, and
//     refresh_token.
//   - [D] An answer holds access_token, refresh_token and expires_in; no
//     token_type is mentioned.
//   - [I] The server is Symfony's FOSOAuthServerBundle: it splits the decoded
//     Basic text at the colon and undoes no form-encoding, rotates the refresh
//     token with every use, answers each error with 400, and gives refresh
//     tokens 14 days. The vendor's PHP client assumes 30 [V]; the shorter one
//     is the safer plan.
func ticketpark() Dialect {
	return Dialect{
		Name:            "ticketpark",
		UpstreamURL:     "https://api.ticketpark.ch",
		TokenURL:        "https://api.ticketpark.ch/oauth/v2/token",
		QueryTokens:     []string{"access_token"}, // [I]
		ClientAuth:      AuthBasicPlain,
		Encoding:        EncodingForm,
		Grants:          []GrantType{GrantPassword, GrantRefreshToken},
		Rotation:        RotationSingleUse,
		RefreshLifetime: 14 * 24 * time.Hour,
		StubAnswer: `{"access_token":"ticketproxy-placeholder","expires_in":600,"token_type":"bearer","scope":null,` +
			`"refresh_token":"ticketproxy-placeholder"}`,
	}
}
