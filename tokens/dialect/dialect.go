// Package dialect knows how each provider deviates from RFC 6749, as plain data:
// no state, no I/O. It knows no other package of ours.
//
// A provider is a file. In it, [D] marks what a vendor's page states, [V] what its
// published code shows, and [I] what is inferred from the library that the vendor
// seems to run: documented by nobody, and so a default to override.
package dialect

import (
	"slices"
	"time"
)

// A ClientAuth is how a client shows who it is (RFC 6749, section 2.3.1).
type ClientAuth string

const (
	AuthNone  ClientAuth = "none"  // client_id in the body, no secret: a public client (section 3.2.1)
	AuthBody  ClientAuth = "body"  // client_id and client_secret in the body
	AuthBasic ClientAuth = "basic" // both form-encoded in an Authorization header, neither in the body
	// AuthBasicPlain is AuthBasic without the form-encoding, for issuers that do not undo it.
	AuthBasicPlain ClientAuth = "basic_plain"
)

// An Encoding is the form of a token request's body.
type Encoding string

const (
	EncodingForm Encoding = "form" // application/x-www-form-urlencoded (RFC 6749, appendix B)
	EncodingJSON Encoding = "json" // application/json, which no RFC knows and some vendors ask for
)

// A GrantType is the grant_type of a token request.
type GrantType string

const (
	GrantRefreshToken      GrantType = "refresh_token"      // RFC 6749, section 6
	GrantPassword          GrantType = "password"           // section 4.3
	GrantAuthorizationCode GrantType = "authorization_code" // section 4.1
	GrantClientCredentials GrantType = "client_credentials" // section 4.4
	// GrantDeviceCode is RFC 8628, section 3.4.
	GrantDeviceCode GrantType = "urn:ietf:params:oauth:grant-type:device_code"
)

// A Rotation says what becomes of a refresh token once it is redeemed.
type Rotation string

const (
	RotationNone      Rotation = "none"       // it stays as it is
	RotationMaybe     Rotation = "maybe"      // a new one may come, and whether the old one dies is not documented
	RotationSingleUse Rotation = "single_use" // it is spent, and a new one comes
)

// A Dialect is one provider's deviation from RFC 6749. Name, ClientAuth, Encoding,
// Grants, Rotation and StubAnswer must be set. A field with an env tag is the default
// of the variable of that name.
type Dialect struct {
	Name         string
	UpstreamURL  string `env:"UPSTREAM_URL"`  // the API's origin; empty if the user must say it
	TokenURL     string `env:"TOKEN_URL"`     // a query in it is kept (RFC 6749, section 3.2); empty as above
	AuthorizeURL string `env:"AUTHORIZE_URL"` // empty without the authorization code grant; a query in it is kept
	DeviceURL    string // the device authorization endpoint (RFC 8628, section 3.1); only metadata has it

	// TokenPaths are where apps of this provider ask for tokens, besides the
	// path of TokenURL.
	TokenPaths []string
	// QueryTokens are the query parameters in which the API takes an access
	// token too, and refuses one that comes twice (RFC 6750, section 2).
	QueryTokens []string

	ClientAuth ClientAuth `env:"CLIENT_AUTH"`
	Encoding   Encoding   `env:"TOKEN_ENCODING"`
	// PKCE says that the issuer knows RFC 7636. Others get no challenge and no
	// verifier, even when there is one.
	PKCE   bool
	Grants []GrantType

	Rotation Rotation `env:"ROTATION"`
	// Grace says that a spent refresh token still works for a while, so that a
	// lost answer may be asked for again soon.
	Grace bool
	// RefreshLifetime is assumed of a new refresh token when the issuer does
	// not say; 0 when it is not known.
	RefreshLifetime time.Duration `env:"REFRESH_TOKEN_LIFETIME"`
	// Invalid lists the answers which, besides invalid_grant, mean that the
	// issuer does not know the refresh token.
	Invalid []Answer
	// StubAnswer is a token answer in the provider's own form, for apps that do
	// their own OAuth. Its tokens are worthless. It has every member that the
	// vendor's clients demand.
	StubAnswer string
}

// An Answer is a status and the error code that came with it (RFC 6749,
// section 5.2).
type Answer struct {
	Status int
	Code   string
}

// Allows reports whether the dialect knows the grant.
func (d Dialect) Allows(grant GrantType) bool { return slices.Contains(d.Grants, grant) }

// All returns every dialect, freshly made, the generic one last.
func All() []Dialect {
	return []Dialect{socialBoards(), openTicket(), ticketpark(), generic()}
}

// Lookup returns the dialect of that name, freshly made.
func Lookup(name string) (Dialect, bool) {
	for _, d := range All() {
		if d.Name == name {
			return d, true
		}
	}
	return Dialect{}, false
}
