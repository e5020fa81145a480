package issuer

// Placeholder returns a token answer in the provider's own form, for apps that
// do their own OAuth: its tokens are worthless, and every member that the
// vendors' clients demand is there.
func (d Dialect) Placeholder() string {
	const access, refresh = `"ticketproxy-placeholder"`, `"ticketproxy-placeholder"`
	switch d.Name {
	case "socialboards":
		return `{"access_token":` + access + `,"token_type":"bearer","expires_in":3599,"refresh_token":` + refresh + `}`
	case "openticket":
		return `{"token_type":"Bearer","expires_in":259200,"access_token":` + access + `,"refresh_token":` + refresh +
			`,"refresh_token_expires_in":31535999,"info":{"user":{},"companies":[]}}`
	case "ticketpark":
		return `{"access_token":` + access + `,"expires_in":600,"token_type":"bearer","scope":null,"refresh_token":` + refresh + `}`
	}
	return `{"access_token":` + access + `,"token_type":"Bearer","expires_in":3600,"refresh_token":` + refresh + `}`
}
