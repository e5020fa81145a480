package server

import (
	"errors"
	"net/url"
	"time"

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

// hintFor says what a person can do about the account of the upstream u, which owns it,
// when it is not well; "" when it is.
func hintFor(s tokens.Status, u config.Upstream, now time.Time) string {
	var e *tokens.IssuerError
	switch {
	case s.State == tokens.Dead:
		return loginHint(u)
	case hint.Of(s.Cause) != "":
		return hint.Of(s.Cause)
	case s.State == tokens.Unsaved:
		return "make the directory of TICKETPROXY_STATE writable before this instance ends; ticketproxy check tells more"
	case !errors.As(s.Cause, &e):
		return ""
	case e.Class == tokens.Refused && !waits(e):
		return hintForRefusal(u, e)
	case e.Class == tokens.NotSent:
		variable := "TOKEN_URL"
		if u.TokenURL == nil && u.IssuerURL != nil {
			variable = "ISSUER_URL"
		}
		return "see that " + u.EnvPrefix + variable + " is right and can be reached; ticketproxy check tells more"
	}
	return hintToWait(s, now)
}

// waits reports whether a refusal is for now only.
func waits(e *tokens.IssuerError) bool {
	return e.Code == "temporarily_unavailable" || e.Code == "server_error" || e.Code == "slow_down"
}

// hintToWait says that a person need not do anything, and how long apps are served.
func hintToWait(s tokens.Status, now time.Time) string {
	text := "nothing to do"
	if in := s.NextRefresh.Sub(now).Round(time.Second); in > 0 {
		text += ": the issuer is asked again in " + in.String()
	} else {
		text += ": the issuer is asked again soon"
	}
	switch {
	case s.Usable && !s.Expiry.IsZero():
		text += ", and apps are served until " + s.Expiry.UTC().Format(time.RFC3339)
	case s.Usable:
		text += ", and apps are served"
	}
	return text
}

// hintForRefusal says what to do when the issuer does not accept the client, or the
// form of the request (RFC 6749, section 5.2).
func hintForRefusal(u config.Upstream, e *tokens.IssuerError) string {
	p := u.EnvPrefix
	if e.Code != "invalid_client" && e.Code != "unauthorized_client" {
		return "check " + p + "TOKEN_URL, " + p + "CLIENT_AUTH and " + p + "TOKEN_ENCODING"
	}
	text := "check " + p + "CLIENT_ID, " + p + "CLIENT_SECRET and " + p + "CLIENT_AUTH, " +
		"and start again with the right ones"
	if u.SecretFile != "" {
		text = "check " + p + "CLIENT_ID, the file of " + p + "CLIENT_SECRET_FILE, and " + p + "CLIENT_AUTH; " +
			"after a change of the file, SIGHUP is enough"
	}
	encoded := url.QueryEscape(u.ClientID+u.ClientSecret.Reveal()) != u.ClientID+u.ClientSecret.Reveal()
	switch {
	case u.ClientAuth == "basic" && encoded:
		text += "; the credentials have characters that " + p + "CLIENT_AUTH=basic encodes, " +
			"and many issuers want basic_plain"
	case u.ClientAuth == "basic_plain" && encoded:
		text += "; the credentials have characters that " + p + "CLIENT_AUTH=basic would encode, as RFC 6749 wants it"
	}
	return text
}
