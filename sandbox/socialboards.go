package sandbox

import (
	"net/http"
	"strings"
	"time"
)

// socialBoards follows the vendor's page "Access tokens v2" and the reference pages of
// Ticket API v2. No page shows error statuses, error bodies and headers. They are
// inferred from Microsoft.Owin.Security.OAuth (AspNetKatana), because the documented
// answer has its lower-case "bearer", its key order and its 3599.
type socialBoards struct {
	*Provider
	data  sbData
	table []route
}

func newSocialBoards(o Options) *Provider {
	p := &Provider{
		Name:      "socialboards",
		ClientID:  "sandbox-socialboards-client",
		TokenPath: "/token",
	}
	v := &socialBoards{Provider: p, data: newSBData()}
	v.table = []route{
		{method: "POST", pattern: "/tickets/list", serve: v.listTickets},
		{method: "POST", pattern: "/tickets", serve: v.createTicket},
		{method: "GET", pattern: "/tickets/{id}", serve: v.readTicket},
		{method: "POST", pattern: "/tickets/{id}/replies", serve: v.createReply},
		{method: "PATCH", pattern: "/tickets/{id}/category", serve: v.updateCategory},
		{method: "GET", pattern: "/Teammates", serve: v.listTeammates},
		{method: "GET", pattern: "/categories", serve: v.listCategories},
	}
	p.vendor = v
	p.tokens = newTokenStore(o.apply(policy{
		rotates:    o.Rotate,
		accessLife: time.Hour, // exp - nbf of the sample token
		expiresIn:  3599,      // as documented; Katana rounds down the rest of the hour
		newAccess:  v.accessToken,
		newRefresh: base64Token,
	}), &p.counters)
	return p
}

// accessToken has the header and the claims of the documented sample.
func (v *socialBoards) accessToken(issued, expires time.Time) string {
	return fakeJWT(struct {
		Alg string `json:"alg"`
		Typ string `json:"typ"`
	}{"HS512", "JWT"}, struct {
		Cid  string `json:"cid"`
		Type string `json:"type"`
		Nbf  int64  `json:"nbf"`
		Exp  int64  `json:"exp"`
		Iss  string `json:"iss"`
		Aud  string `json:"aud"`
	}{"1", "Community", issued.Unix(), expires.Unix(), "socialboards.com", "5b0a7d5e-0000-4000-8000-000000000001"}, 64)
}

func (v *socialBoards) isToken(path string) bool { return path == v.TokenPath }

// token requires the three documented form parameters; there is no client secret. The
// order of the checks is Katana's: client, grant type, token.
func (v *socialBoards) token(r request) answer {
	if r.Method != http.MethodPost {
		const text = "The requested resource does not support this method."
		return v.errorAnswer(http.StatusMethodNotAllowed, text).with("Allow", "POST")
	}
	form := r.form()
	// Katana joins the values of a repeated parameter by commas.
	field := func(name string) string { return strings.Join(form[name], ",") }
	switch {
	case field("client_id") != v.ClientID:
		return v.tokenError("invalid_client")
	case field("grant_type") != "refresh_token":
		return v.tokenError("unsupported_grant_type")
	}
	granted, err := v.tokens.redeem(time.Now(), field("refresh_token"))
	if err != nil {
		return v.tokenError("invalid_grant")
	}
	return katana(jsonAnswer(http.StatusOK, struct {
		AccessToken  string `json:"access_token"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int    `json:"expires_in"`
		RefreshToken string `json:"refresh_token"`
	}{granted.access, "bearer", granted.expiresIn, granted.refresh}))
}

func (v *socialBoards) tokenError(code string) answer {
	return katana(jsonAnswer(http.StatusBadRequest, map[string]string{"error": code}))
}

// katana sets the headers of every Katana token answer.
func katana(a answer) answer {
	return a.with("Content-Type", "application/json;charset=UTF-8").
		with("Cache-Control", "no-cache").
		with("Pragma", "no-cache").
		with("Expires", "-1")
}

// checkBearer gives no reason, and accepts the scheme in any case, as Katana's bearer
// handler does. Inferred.
func (v *socialBoards) checkBearer(r request) *answer {
	scheme, token, _ := strings.Cut(r.authorization(), " ")
	if strings.EqualFold(scheme, "Bearer") && v.tokens.checkAccess(time.Now(), token) == nil {
		return nil
	}
	a := v.unauthorized()
	return &a
}

// unauthorized has the body of ASP.NET Web API. Inferred.
func (v *socialBoards) unauthorized() answer {
	return jsonAnswer(http.StatusUnauthorized, map[string]string{
		"message": "Authorization has been denied for this request.",
	}).with("WWW-Authenticate", "Bearer")
}

// errorAnswer uses the documented envelope. No page says which errorCode a failure
// has; the HTTP status is a guess.
func (v *socialBoards) errorAnswer(status int, text string) answer {
	return jsonAnswer(status, envelope{ErrorCode: status, ErrorText: &text})
}

// An envelope wraps every answer of the API. ErrorCode -1 means success.
type envelope struct {
	Data      any     `json:"data"`
	ErrorCode int     `json:"errorCode"`
	ErrorText *string `json:"errorText"`
}

func enveloped(data any) answer {
	return jsonAnswer(http.StatusOK, envelope{Data: data, ErrorCode: -1})
}
