package sandbox

import (
	"cmp"
	"fmt"
	"html"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

const codeLife = 10 * time.Minute // league/oauth2-server's default; inferred

// An authorization is the state of an authorization code.
type authorization struct {
	redirectURI string
	expires     time.Time
	used        bool
}

// consent follows the vendor's page "Requesting a token": GET with client_id,
// redirect_uri, response_type=code and state. A button on the consent page sends a
// POST. A test adds approve=1 to the GET instead. The sandbox has no registration of
// redirect URIs: it accepts those on loopback.
func (v *openTicket) consent(r request) answer {
	params := r.URL.Query()
	decision := params.Get("approve")
	if r.Method == http.MethodPost {
		params = r.form()
		decision = cmp.Or(params.Get("approve"), "0")
	}
	redirect := params.Get("redirect_uri")
	switch {
	case params.Get("client_id") == "":
		return leagueMissing("client_id")
	case params.Get("client_id") != v.ClientID, !loopback(redirect):
		return leagueError(http.StatusUnauthorized, "invalid_client", "Client authentication failed", "")
	case params.Get("response_type") != "code":
		return leagueError(http.StatusBadRequest, "unsupported_grant_type",
			"The authorization grant type is not supported by the authorization server.",
			"Check that all required parameters have been provided")
	case params.Get("state") == "":
		return leagueMissing("state")
	}
	back := url.Values{"state": {params.Get("state")}}
	switch decision {
	case "":
		return consentForm(v.data.user.Name, params)
	case "1":
		back.Set("code", v.newCode(redirect))
	default:
		back.Set("error", "access_denied")
	}
	separator := "?"
	if strings.Contains(redirect, "?") {
		separator = "&"
	}
	return answer{status: http.StatusFound}.with("Location", redirect+separator+back.Encode())
}

func (v *openTicket) newCode(redirectURI string) string {
	code := defuseToken()
	v.codes[code] = &authorization{redirectURI: redirectURI, expires: time.Now().Add(codeLife)}
	return code
}

// redeemCode exchanges a code for tokens. As in AuthCodeGrant, the checks have this
// order, and a failed exchange leaves the code usable.
func (v *openTicket) redeemCode(params map[string]string) answer {
	code, redirect := params["code"], params["redirect_uri"]
	if code == "" {
		return leagueMissing("code")
	}
	auth := v.codes[code]
	hint := ""
	switch {
	case auth == nil:
		hint = "Cannot decrypt the authorization code"
	case !time.Now().Before(auth.expires):
		hint = "Authorization code has expired"
	case auth.used:
		hint = "Authorization code has been revoked"
	case redirect == "":
		hint = "Check the `redirect_uri` parameter"
	case redirect != auth.redirectURI:
		hint = "Invalid redirect URI"
	}
	if hint != "" {
		v.counters.InvalidGrants++
		return leagueInvalidRequest(hint)
	}
	auth.used = true
	return v.granted(v.tokens.firstGrant(time.Now()))
}

func loopback(redirect string) bool {
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Fragment != "" {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// consentForm returns the consent page. Its form repeats the request's parameters. It does
// not use html/template, which calls methods by name, so that the linker keeps every
// exported method (Go 1.26): 2.3 MB.
func consentForm(user string, params url.Values) answer {
	var hidden strings.Builder
	for _, name := range []string{"client_id", "redirect_uri", "response_type", "state"} {
		fmt.Fprintf(&hidden, "<input type=\"hidden\" name=\"%s\" value=\"%s\">\n",
			name, html.EscapeString(params.Get(name)))
	}
	page := fmt.Sprintf(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sandbox box office</title>
<style>body{font:1.1rem system-ui;max-width:28rem;margin:12vh auto;padding:0 1rem}
button{font:inherit;padding:.4em 1.4em}</style>
<h1>Sandbox box office</h1>
<p>%s, may <strong>%s</strong> see your events, orders and tickets?</p>
<form method="post">
%s<button name="approve" value="1">Allow</button> <button name="approve" value="0">Deny</button>
</form>
</html>
`, html.EscapeString(user), html.EscapeString(params.Get("client_id")), hidden.String())
	return webPage(http.StatusOK, page).
		with("Cache-Control", "no-store").
		with("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
}
