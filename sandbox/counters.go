package sandbox

// Counters say what a [Provider] has seen since [New]. They are also in the
// answer to GET /_sandbox/, under the names of the tags.
type Counters struct {
	// TokenRequests came to the token endpoint, dropped ones included.
	TokenRequests int `json:"token_requests"`
	// Redemptions are the refreshes that were committed, answered or not.
	Redemptions int `json:"redemptions"`
	// FirstGrants were given for a password or an authorization code.
	FirstGrants int `json:"first_grants"`
	// MaxRedemptions is how often the most redeemed single refresh token was
	// redeemed. Above 1 with a rotating vendor, a grace saved somebody.
	MaxRedemptions int `json:"max_redemptions"`
	// Reuses are the spent refresh tokens that came again, forgiven or not.
	Reuses int `json:"reuses"`
	// FamiliesRevoked counts what reuse detection revoked.
	FamiliesRevoked int `json:"families_revoked"`
	// InvalidGrants are the refresh tokens, codes and passwords refused as such.
	InvalidGrants int `json:"invalid_grants"`
	// FaultsInjected are the token answers replaced, spoilt or withheld.
	FaultsInjected int `json:"faults_injected"`
	// RedirectsFollowed counts clients that followed the redirect fault, and so
	// would carry their credentials wherever an issuer points.
	RedirectsFollowed int `json:"redirects_followed"`
	// APIRequests came to the API, 401s included.
	APIRequests int `json:"api_requests"`
	// APIUnauthorized is how many of them were answered 401.
	APIUnauthorized int `json:"api_unauthorized"`
}
