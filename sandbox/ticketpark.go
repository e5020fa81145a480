package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ticketpark follows the vendor's page "Authentication" for requests and answers.
// Errors, headers, key order and the lifetimes other than the 600 seconds are those of
// friendsofsymfony/oauth2-php and FOSOAuthServerBundle. The path and the format of the
// documented client id and tokens are strong evidence for them (inferred).
type ticketpark struct {
	*Provider
	data  tpData
	table []route
}

func newTicketpark(o Options) *Provider {
	p := &Provider{
		Name:         "ticketpark",
		ClientID:     "1_sandbox-ticketpark-client",
		ClientSecret: "sandbox-ticketpark-not-a-secret",
		Username:     "john@theatre.example",
		Password:     "sandbox-password",
		TokenPath:    "/oauth/v2/token",
	}
	v := &ticketpark{Provider: p, data: newTPData()}
	v.table = []route{
		{method: "GET", pattern: "/events/", serve: v.listEvents},
		{method: "HEAD", pattern: "/events/", serve: v.listEvents},
		{method: "POST", pattern: "/events/", serve: v.createEvent},
		{method: "GET", pattern: "/events/{pid}", serve: v.readEvent},
		{method: "HEAD", pattern: "/events/{pid}", serve: v.readEvent},
		{method: "PATCH", pattern: "/events/{pid}", serve: v.updateEvent},
		{method: "DELETE", pattern: "/events/{pid}", serve: v.deleteEvent},
		{method: "GET", pattern: "/shows/{pid}", serve: v.readShow},
		{method: "POST", pattern: "/bookings/", serve: v.createBooking},
		{method: "GET", pattern: "/bookings/{pid}", serve: v.readBooking},
		{method: "PATCH", pattern: "/bookings/{pid}", serve: v.updateBooking},
		{method: "POST", pattern: "/tickets/", serve: v.createTickets},
		{method: "GET", pattern: "/tickets/", serve: v.listTickets},
	}
	p.vendor = v
	p.tokens = newTokenStore(o.apply(policy{
		rotates:     true,
		accessLife:  600 * time.Second,
		expiresIn:   600,
		refreshLife: 1209600 * time.Second, // the library's default
		newAccess:   func(time.Time, time.Time) string { return hexTwiceToken() },
		newRefresh:  hexTwiceToken,
	}), &p.counters)
	return p
}

func (v *ticketpark) isToken(path string) bool { return path == v.TokenPath }

// token checks in the library's order: grant type, client, whether the grant is
// enabled, the grant's fields. A GET has its parameters in the query, a POST in the
// form; JSON is not read. Every error is a 400.
func (v *ticketpark) token(r request) answer {
	var params url.Values
	switch r.Method {
	case http.MethodGet:
		params = r.URL.Query()
	case http.MethodPost:
		params = r.form()
	default:
		return v.errorAnswer(http.StatusMethodNotAllowed, "Method Not Allowed").with("Allow", "GET, POST")
	}
	grant := params.Get("grant_type")
	if !knownGrant(grant) {
		return tpTokenError("invalid_request", "Invalid grant_type parameter or parameter missing")
	}
	id, secret, hasBasic := r.BasicAuth()
	if !hasBasic {
		id, secret = params.Get("client_id"), params.Get("client_secret")
	}
	switch {
	case id == "":
		return tpTokenError("invalid_client", "Client id was not found in the headers or body")
	case id != v.ClientID || secret != v.ClientSecret:
		return tpTokenError("invalid_client", "The client credentials are invalid")
	}
	switch grant {
	case "password":
		return v.password(params.Get("username"), params.Get("password"))
	case "refresh_token":
		return v.refresh(params.Get("refresh_token"))
	default:
		return tpTokenError("unauthorized_client", "The grant type is unauthorized for this client_id")
	}
}

// knownGrant has the grant types that the library knows. Two of them are enabled here.
func knownGrant(grant string) bool {
	switch grant {
	case "authorization_code", "token", "password", "client_credentials", "refresh_token":
		return true
	}
	return slices.ContainsFunc([]string{"http://", "https://", "urn:"}, func(prefix string) bool {
		return len(grant) > len(prefix) && strings.HasPrefix(grant, prefix)
	})
}

func (v *ticketpark) password(username, password string) answer {
	switch {
	case username == "" || password == "":
		return tpTokenError("invalid_request", `Missing parameters. "username" and "password" required`)
	case username != v.Username || password != v.Password:
		v.counters.InvalidGrants++
		return tpTokenError("invalid_grant", "Invalid username and password combination")
	}
	return v.granted(v.tokens.firstGrant(time.Now()))
}

func (v *ticketpark) refresh(token string) answer {
	if token == "" {
		return tpTokenError("invalid_request", `No "refresh_token" parameter found`)
	}
	granted, err := v.tokens.redeem(time.Now(), token)
	switch {
	case errors.Is(err, errExpired):
		return tpTokenError("invalid_grant", "Refresh token has expired")
	case err != nil:
		return tpTokenError("invalid_grant", "Invalid refresh token")
	}
	return v.granted(granted)
}

// granted has the library's key order, and null as in the library when no scope was
// requested.
func (v *ticketpark) granted(granted pair) answer {
	return noStore(jsonAnswer(http.StatusOK, struct {
		AccessToken  string  `json:"access_token"`
		ExpiresIn    int     `json:"expires_in"`
		TokenType    string  `json:"token_type"`
		Scope        *string `json:"scope"`
		RefreshToken string  `json:"refresh_token"`
	}{granted.access, granted.expiresIn, "bearer", nil, granted.refresh}))
}

type tpError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func tpTokenError(code, description string) answer {
	return noStore(jsonAnswer(http.StatusBadRequest, tpError{code, description}))
}

// checkBearer takes the token from the header, the form or the query, and refuses a
// request with more than one of them.
func (v *ticketpark) checkBearer(r request) *answer {
	var tokens []string
	if token, ok := strings.CutPrefix(r.authorization(), "Bearer "); ok {
		tokens = append(tokens, token)
	}
	if token := r.form().Get("access_token"); token != "" && r.Method != http.MethodGet {
		tokens = append(tokens, token)
	}
	if token := r.URL.Query().Get("access_token"); token != "" {
		tokens = append(tokens, token)
	}
	switch len(tokens) {
	case 0:
		return tpDenied(http.StatusUnauthorized, "access_denied", "OAuth2 authentication required")
	case 1:
	default:
		return tpDenied(http.StatusBadRequest, "invalid_request",
			"Only one method may be used to authenticate at a time (Auth header, GET or POST).")
	}
	switch err := v.tokens.checkAccess(time.Now(), tokens[0]); {
	case errors.Is(err, errExpired):
		return tpDenied(http.StatusUnauthorized, "invalid_grant", "The access token provided has expired.")
	case err != nil:
		a := v.unauthorized()
		return &a
	}
	return nil
}

func tpDenied(status int, code, description string) *answer {
	a := noStore(jsonAnswer(status, tpError{code, description})).
		with("WWW-Authenticate", fmt.Sprintf(`Bearer realm="Service", error=%q, error_description=%q`, code, description))
	return &a
}

func (v *ticketpark) unauthorized() answer {
	return *tpDenied(http.StatusUnauthorized, "invalid_grant", "The access token provided is invalid.")
}

// errorAnswer has the body of FOSRestBundle's exception controller. Inferred; the
// vendor documents only the statuses.
func (v *ticketpark) errorAnswer(status int, text string) answer {
	return jsonAnswer(status, struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{status, text})
}

func (v *ticketpark) routes() []route { return v.table }
