package sandbox

// Counters count the events of a [Provider] since [New]. GET /_sandbox/ answers with
// them, too, under the names in the tags.
type Counters struct {
	// TokenRequests counts requests to the token endpoint, including dropped ones.
	TokenRequests int `json:"token_requests"`
	// Redemptions counts committed refreshes, including those without an answer.
	Redemptions int `json:"redemptions"`
	// FirstGrants counts grants for a password or an authorization code.
	FirstGrants int `json:"first_grants"`
	// MaxRedemptions is the highest number of redemptions of one refresh token. With
	// a rotating vendor it exceeds 1 only by redemptions within Options.Grace.
	MaxRedemptions int `json:"max_redemptions"`
	// Reuses counts requests with a spent refresh token, also within Options.Grace.
	Reuses int `json:"reuses"`
	// FamiliesRevoked counts families that reuse detection revoked.
	FamiliesRevoked int `json:"families_revoked"`
	// InvalidGrants counts refused refresh tokens, codes and passwords.
	InvalidGrants int `json:"invalid_grants"`
	// FaultsInjected counts token answers that a fault replaced, cut or dropped.
	FaultsInjected int `json:"faults_injected"`
	// RedirectsFollowed counts clients that followed the redirect fault. Such a client
	// would send its credentials wherever an issuer points.
	RedirectsFollowed int `json:"redirects_followed"`
	// APIRequests counts requests to the API, including those answered 401.
	APIRequests int `json:"api_requests"`
	// APIUnauthorized counts API requests answered 401.
	APIUnauthorized int `json:"api_unauthorized"`
}
