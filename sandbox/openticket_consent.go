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

// An authorization is what a code stands for.
type authorization struct {
	redirectURI string
	expires     time.Time
	used        bool
}

// consent follows the page "Requesting a token": GET with client_id,
// redirect_uri, response_type=code and state. A person presses a button of the
// page, which comes back as a POST; approve=1 presses it for a test. That
// redirect_uri must be on loopback is our own rule, in place of registration.
func (v *openTicket) consent(r request) answer {
	asked := r.URL.Query()
	decision := asked.Get("approve")
	if r.Method == http.MethodPost {
		asked = r.form()
		decision = cmp.Or(asked.Get("approve"), "0")
	}
	redirect := asked.Get("redirect_uri")
	switch {
	case asked.Get("client_id") == "":
		return leagueMissing("client_id")
	case asked.Get("client_id") != v.ClientID, !loopback(redirect):
		return leagueError(http.StatusUnauthorized, "invalid_client", "Client authentication failed", "")
	case asked.Get("response_type") != "code":
		return leagueError(http.StatusBadRequest, "unsupported_grant_type",
			"The authorization grant type is not supported by the authorization server.",
			"Check that all required parameters have been provided")
	case asked.Get("state") == "":
		return leagueMissing("state")
	}
	back := url.Values{"state": {asked.Get("state")}}
	switch decision {
	case "":
		return consentForm(v.house.user.Name, asked)
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

// exchange spends a code. The order of the checks is AuthCodeGrant's, and so is
// that a failed exchange leaves the code as it was.
func (v *openTicket) exchange(params map[string]string) answer {
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
	return v.granted(v.book.first(time.Now()))
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

// consentForm carries what was asked through the person's decision. It is written without
// html/template, whose calls of methods by name have the linker keep every exported
// method (Go 1.26): 2.3 MB.
func consentForm(user string, asked url.Values) answer {
	var hidden strings.Builder
	for _, name := range []string{"client_id", "redirect_uri", "response_type", "state"} {
		fmt.Fprintf(&hidden, "<input type=\"hidden\" name=\"%s\" value=\"%s\">\n",
			name, html.EscapeString(asked.Get(name)))
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
`, html.EscapeString(user), html.EscapeString(asked.Get("client_id")), hidden.String())
	return webPage(http.StatusOK, page).
		with("Cache-Control", "no-store").
		with("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
}
