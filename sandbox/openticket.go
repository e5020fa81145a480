package sandbox

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// openTicket follows the vendor's pages on requesting and refreshing a token. The
// second spelling of the path is from the vendor's PHP library. All errors, and that
// a refresh revokes the old access token at once, are from league/oauth2-server 8
// (inferred: the vendor documents no errors, and clients quote that library's texts).
type openTicket struct {
	*Provider
	data  otData
	codes map[string]*authorization
	table []route
}

func newOpenTicket(o Options) *Provider {
	p := &Provider{
		Name:          "openticket",
		ClientID:      "sandbox-openticket-client",
		ClientSecret:  "sandbox-openticket-not-a-secret",
		TokenPath:     "/tokens",
		AuthorizePath: "/tokens/authorize",
	}
	v := &openTicket{Provider: p, data: newOTData(), codes: map[string]*authorization{}}
	v.table = v.allRoutes()
	p.vendor = v
	p.tokens = newTokenStore(o.apply(policy{
		rotates:       true,
		endsOldAccess: true,
		accessLife:    72 * time.Hour,
		expiresIn:     259200,
		refreshLife:   365 * 24 * time.Hour,
		newAccess:     v.accessToken,
		newRefresh:    defuseToken,
	}), &p.counters)
	return p
}

// accessToken has the claims of league/oauth2-server 8. Inferred; clients show that it
// is a JWT with exp.
func (v *openTicket) accessToken(issued, expires time.Time) string {
	return fakeJWT(struct {
		Typ string `json:"typ"`
		Alg string `json:"alg"`
	}{"JWT", "RS256"}, struct {
		Aud    string   `json:"aud"`
		Jti    string   `json:"jti"`
		Iat    int64    `json:"iat"`
		Nbf    int64    `json:"nbf"`
		Exp    int64    `json:"exp"`
		Sub    string   `json:"sub"`
		Scopes []string `json:"scopes"`
	}{
		v.ClientID, hex.EncodeToString(randomBytes(40)), issued.Unix(), issued.Unix(), expires.Unix(),
		v.data.user.GUID, []string{},
	}, 256)
}

func (v *openTicket) isToken(path string) bool { return path == "/tokens" || path == "/token" }

func (v *openTicket) token(r request) answer {
	if r.Method != http.MethodPost {
		text := fmt.Sprintf("The %s method is not supported for this route. Supported methods: POST.", r.Method)
		return v.errorAnswer(http.StatusMethodNotAllowed, text).with("Allow", "POST")
	}
	params := tokenParams(r)
	grant := params["grant_type"]
	if grant != "authorization_code" && grant != "refresh_token" {
		return leagueError(http.StatusBadRequest, "unsupported_grant_type",
			"The authorization grant type is not supported by the authorization server.",
			"Check that all required parameters have been provided")
	}
	// The id and the secret each come from the body, otherwise from Basic.
	id, secret, hasBasic := r.BasicAuth()
	if s, ok := params["client_id"]; ok {
		id = s
	}
	if s, ok := params["client_secret"]; ok {
		secret = s
	}
	switch {
	case id == "":
		return leagueMissing("client_id")
	case id != v.ClientID || secret != v.ClientSecret:
		a := leagueError(http.StatusUnauthorized, "invalid_client", "Client authentication failed", "")
		if hasBasic {
			a = a.with("WWW-Authenticate", `Basic realm="OAuth"`)
		}
		return a
	case grant == "authorization_code":
		return v.redeemCode(params)
	default:
		return v.refresh(params["refresh_token"])
	}
}

// tokenParams reads a JSON object or a form. It reads nothing from multipart, which
// the vendor's shell sample sends by mistake.
func tokenParams(r request) map[string]string {
	params := map[string]string{}
	for name, values := range r.form() {
		params[name] = values[len(values)-1] // the last one wins in PHP
	}
	if r.hasJSON() {
		var object map[string]any
		if json.Unmarshal(r.body, &object) != nil {
			return nil
		}
		for name, value := range object {
			if s, ok := value.(string); ok {
				params[name] = s
			}
		}
	}
	return params
}

func (v *openTicket) refresh(token string) answer {
	if token == "" {
		return leagueMissing("refresh_token")
	}
	granted, err := v.tokens.redeem(time.Now(), token)
	if err != nil {
		hint := "Token has been revoked"
		switch {
		case errors.Is(err, errUnknown):
			hint = "Cannot decrypt the refresh token"
		case errors.Is(err, errExpired):
			hint = "Token has expired"
		}
		return leagueError(http.StatusUnauthorized, "invalid_request", "The refresh token is invalid.", hint)
	}
	return v.granted(granted)
}

// granted returns the answer shown on the vendor's page. There, too,
// refresh_token_expires_in is one second less than a year.
func (v *openTicket) granted(granted pair) answer {
	type company struct {
		GUID string `json:"guid"`
		Name string `json:"name"`
	}
	type info struct {
		User struct {
			GUID  string `json:"guid"`
			Name  string `json:"name"`
			Email string `json:"email"`
		} `json:"user"`
		Companies []company `json:"companies"`
	}
	var about info
	about.User.GUID, about.User.Name, about.User.Email = v.data.user.GUID, v.data.user.Name, v.data.user.Email
	for _, c := range v.data.companies {
		about.Companies = append(about.Companies, company(c))
	}
	return noStore(jsonAnswer(http.StatusOK, struct {
		TokenType             string `json:"token_type"`
		ExpiresIn             int    `json:"expires_in"`
		AccessToken           string `json:"access_token"`
		RefreshToken          string `json:"refresh_token"`
		RefreshTokenExpiresIn int    `json:"refresh_token_expires_in"`
		Info                  info   `json:"info"`
	}{"Bearer", granted.expiresIn, granted.access, granted.refresh, 31535999, about}))
}

func noStore(a answer) answer {
	return a.with("Cache-Control", "no-store").with("Pragma", "no-cache")
}

// leagueError has the body of version 8, in which message repeats error_description.
func leagueError(status int, code, description, hint string) answer {
	return jsonAnswer(status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Hint        string `json:"hint,omitempty"`
		Message     string `json:"message"`
	}{code, description, hint, description})
}

func leagueInvalidRequest(hint string) answer {
	return leagueError(http.StatusBadRequest, "invalid_request",
		"The request is missing a required parameter, includes an invalid parameter value, "+
			"includes a parameter more than once, or is otherwise malformed.", hint)
}

func leagueMissing(param string) answer {
	return leagueInvalidRequest("Check the `" + param + "` parameter")
}

// checkBearer answers 401 to every invalid token. (One public client has also seen a
// 400 that mentions "JWT"; the clients of the other hosts see 401.) It answers 403 to
// a Company header with a company that the token may not access.
func (v *openTicket) checkBearer(r request) *answer {
	if len(r.Header.Values("Authorization")) == 0 {
		return leagueDenied(`Missing "Authorization" header`)
	}
	token, ok := strings.CutPrefix(r.authorization(), "Bearer ")
	if !ok || strings.Count(token, ".") != 2 {
		return leagueDenied("The JWT string must have two dots")
	}
	switch err := v.tokens.checkAccess(time.Now(), token); {
	case errors.Is(err, errRevoked):
		return leagueDenied("Access token has been revoked")
	case err != nil:
		return leagueDenied("Access token could not be verified")
	}
	for _, guid := range companies(r) {
		if !slices.ContainsFunc(v.data.companies, func(c otCompany) bool { return c.GUID == guid }) {
			a := v.errorAnswer(http.StatusForbidden, "The token has no access to the company "+guid+".")
			return &a
		}
	}
	return nil
}

func leagueDenied(hint string) *answer {
	a := leagueError(http.StatusUnauthorized, "access_denied",
		"The resource owner or authorization server denied the request.", hint)
	return &a
}

func (v *openTicket) unauthorized() answer {
	return *leagueDenied("Access token could not be verified")
}

// errorAnswer has Laravel's body. Inferred.
func (v *openTicket) errorAnswer(status int, text string) answer {
	return jsonAnswer(status, map[string]string{"message": text})
}

// companies reads the Company header: several lines, commas, or both (vendor's page
// "Issue a request").
func companies(r request) []string {
	var guids []string
	for _, line := range r.Header.Values("Company") {
		for guid := range strings.SplitSeq(line, ",") {
			if guid = strings.TrimSpace(guid); guid != "" {
				guids = append(guids, guid)
			}
		}
	}
	return guids
}
