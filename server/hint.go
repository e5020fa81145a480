package server

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"ticketproxy/admin"
	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// loginHint says what revives the dead account of the upstream u, which owns it. A state in
// memory has no place for what login obtains.
func loginHint(state config.State, u config.Upstream) string {
	seed := "set " + u.EnvPrefix + "REFRESH_TOKEN to a new refresh token"
	if u.SeedFile != "" {
		seed = "write a new refresh token to the file of " + u.EnvPrefix + "REFRESH_TOKEN_FILE"
	}
	if fromSystemd(u.SeedFile) {
		seed = "write a new refresh token to the file of LoadCredential that becomes " + u.EnvPrefix +
			"REFRESH_TOKEN_FILE, and systemctl restart the unit"
	}
	if state.Kind == "memory" {
		return seed
	}
	return "run ticketproxy login " + u.Name + ", or " + seed
}

// fromSystemd reports whether a file is a credential that systemd has copied for the
// service at its start (systemd.exec(5), LoadCredential).
func fromSystemd(path string) bool { return strings.HasPrefix(path, "/run/credentials/") }

// hintFor says what a person can do about the account of the upstream u, which owns it,
// when it is not well; "" when it is.
func hintFor(s tokens.Status, state config.State, u config.Upstream, now time.Time) string {
	var e *tokens.IssuerError
	switch {
	case s.State == tokens.Dead && s.Usable && !s.Expiry.IsZero():
		return loginHint(state, u) + "; apps are served until " + s.Expiry.UTC().Format(time.RFC3339)
	case s.State == tokens.Dead:
		return loginHint(state, u)
	case hint.Of(s.Cause) != "":
		return hint.Of(s.Cause)
	case s.State == tokens.Unsaved && (state.Kind == "kubernetes" || state.Kind == "postgres"):
		return "make the state writable before this instance ends; ticketproxy check tells more"
	case s.State == tokens.Unsaved:
		return "make the directory of TICKETPROXY_STATE writable before this instance ends; ticketproxy check tells more"
	case !errors.As(s.Cause, &e) && tokens.IsRecorded(s.Cause):
		return hintToWait(s, now)
	case !errors.As(s.Cause, &e):
		return ""
	case e.Class == tokens.Refused && !waits(e):
		return hintForRefusal(state, u, e)
	case e.Class == tokens.NotSent:
		return "see that " + EndpointVariable(u) + " is right and can be reached; ticketproxy check tells more"
	case e.Class == tokens.Ambiguous && e.Status/100 == 2 && e.Err != nil:
		return hintToWait(s, now) + "; if this stays, see that " + EndpointVariable(u) + " is the token endpoint"
	}
	return hintToWait(s, now)
}

// waits reports whether a refusal is for now only.
func waits(e *tokens.IssuerError) bool {
	return e.Code == "temporarily_unavailable" || e.Code == "server_error" || e.Code == "slow_down"
}

// hintToWait says that a person need not do anything, and how long apps are served.
func hintToWait(s tokens.Status, now time.Time) string {
	text := "nothing to do: the issuer is asked again "
	if s.NextRefresh.Sub(now).Round(time.Second) > 0 {
		text += admin.Until(now, s.NextRefresh)
	} else {
		text += "soon"
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
func hintForRefusal(state config.State, u config.Upstream, e *tokens.IssuerError) string {
	p := u.EnvPrefix
	if e.Code == "unauthorized_client" && u.ClientCredentials() { // RFC 6749, section 5.2: not for this grant
		return "have the issuer allow this client client_credentials, or check " + p + "GRANT"
	}
	switch e.Code {
	case "invalid_client", "unauthorized_client":
		return ClientHint(u)
	case "invalid_scope":
		return "check " + p + "SCOPE"
	case "invalid_target": // RFC 8707, section 2
		return "check " + p + "TOKEN_PARAMS"
	default:
		text := "check " + EndpointVariable(u) + ", " + p + "CLIENT_AUTH and " + p + "TOKEN_ENCODING"
		if e.Code == "" && !u.ClientCredentials() { // some issuers say so of a refresh token, too
			text += "; when they are right, the refresh token may be spent: " + loginHint(state, u)
		}
		return text
	}
}

// EndpointVariable returns the name of the variable that says where the token endpoint of
// the upstream's account is.
func EndpointVariable(u config.Upstream) string {
	if u.TokenURL == nil && u.IssuerURL != nil {
		return u.EnvPrefix + "ISSUER_URL"
	}
	return u.EnvPrefix + "TOKEN_URL"
}

// ClientHint says what to do when the issuer refuses the client of the upstream's account.
func ClientHint(u config.Upstream) string {
	p := u.EnvPrefix
	if u.ClientAuth == "none" {
		return "check " + p + "CLIENT_ID"
	}
	text := "check " + p + "CLIENT_ID, " + p + "CLIENT_SECRET and " + p + "CLIENT_AUTH, " +
		"and start again with the right ones"
	if u.SecretFile != "" {
		text = "check " + p + "CLIENT_ID, the file of " + p + "CLIENT_SECRET_FILE, and " + p + "CLIENT_AUTH; " +
			"after a change of the file, SIGHUP is enough"
		if fromSystemd(u.SecretFile) {
			text = "check " + p + "CLIENT_ID, " + p + "CLIENT_AUTH, and the file of LoadCredential that becomes " +
				p + "CLIENT_SECRET_FILE; after a change, systemctl restart the unit"
		}
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
