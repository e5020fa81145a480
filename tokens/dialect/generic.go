package dialect

// generic is RFC 6749 to the letter. Its URLs are the user's. An issuer may
// return a new refresh token with every use, after which the old one must no
// longer be used (section 6), and it need not: RotationMaybe.
func generic() Dialect {
	return Dialect{
		Name:       "generic",
		ClientAuth: AuthBasic, // the one every issuer must know (section 2.3.1)
		Encoding:   EncodingForm,
		PKCE:       true,
		Grants: []GrantType{
			GrantAuthorizationCode, GrantDeviceCode, GrantPassword, GrantClientCredentials, GrantRefreshToken,
		},
		Rotation: RotationMaybe,
		StubAnswer: `{"access_token":"ticketproxy-placeholder","token_type":"Bearer","expires_in":3600,` +
			`"refresh_token":"ticketproxy-placeholder"}`,
	}
}
