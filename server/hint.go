package server

import (
	"errors"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// loginHint says what revives the dead account of the upstream u, which owns it.
func loginHint(u config.Upstream) string {
	seed := "set " + u.EnvPrefix + "REFRESH_TOKEN to a new refresh token"
	if u.SeedFile != "" {
		seed = "write a new refresh token to the file of " + u.EnvPrefix + "REFRESH_TOKEN_FILE"
	}
	return "run ticketproxy login " + u.Name + ", or " + seed
}

// hintFor says what a person can do about an account that is not well; "" when
// that is nothing, or waiting. Login is its loginHint.
func hintFor(s tokens.Status, login string) string {
	var e *tokens.IssuerError
	switch {
	case s.State == tokens.Dead:
		return login
	case hint.Of(s.Cause) != "":
		return hint.Of(s.Cause)
	case s.State == tokens.Unsaved:
		return "make the directory of TICKETPROXY_STATE writable before this instance ends; ticketproxy check tells more"
	case !errors.As(s.Cause, &e):
		return ""
	case e.Class == tokens.Refused:
		return hintForRefusal(s.Account, e)
	case e.Class == tokens.NotSent:
		return "see that the TOKEN_URL of account " + s.Account + " is right and can be reached; ticketproxy check tells more"
	}
	return ""
}

// hintForRefusal says what to do when the issuer does not accept the client, or the
// form of the request (RFC 6749, section 5.2).
func hintForRefusal(account string, e *tokens.IssuerError) string {
	if e.Code == "invalid_client" || e.Code == "unauthorized_client" {
		return "check CLIENT_ID and CLIENT_SECRET of account " + account + ", and start again with the right ones; " +
			"where CLIENT_SECRET_FILE holds the secret, SIGHUP is enough"
	}
	if e.Code == "temporarily_unavailable" || e.Code == "server_error" || e.Code == "slow_down" {
		return ""
	}
	return "check TOKEN_URL, CLIENT_AUTH and TOKEN_ENCODING of account " + account
}
