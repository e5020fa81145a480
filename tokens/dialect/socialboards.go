package dialect

// socialBoards follows "Access tokens v2" on developers.socialboards.com.
//
//   - [D] The body is a form with exactly grant_type, refresh_token and
//     client_id; there is no client secret.
//   - [D] Refresh tokens are made by hand in the vendor's settings, so there is
//     no other grant. They are base64 text, with '+', '/' and '='.
//   - [D] An answer holds a refresh_token. That it differs from the one sent,
//     and that the old one dies, is stated nowhere: RotationMaybe. Its lifetime
//     is not stated either.
//   - [I] Errors look like those of ASP.NET Katana: 400 with RFC 6749 codes.
//     Its Basic reader undoes no form-encoding.
func socialBoards() Dialect {
	return Dialect{
		Name:        "socialboards",
		UpstreamURL: "https://api.socialboards.com",
		TokenURL:    "https://api.socialboards.com/token",
		ClientAuth:  AuthNone,
		Encoding:    EncodingForm,
		Grants:      []GrantType{GrantRefreshToken},
		Rotation:    RotationMaybe,
		StubAnswer: `{"access_token":"ticketproxy-placeholder","token_type":"bearer","expires_in":3599,` +
			`"refresh_token":"ticketproxy-placeholder"}`,
	}
}
