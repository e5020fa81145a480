package sandbox_test

import (
	"encoding/json"
	"strings"
	"testing"

	"ticketproxy/sandbox"
)

func league(code, description, hint string) string {
	if hint != "" {
		hint = `"hint":"` + hint + `",`
	}
	return `{"error":"` + code + `","error_description":"` + description + `",` + hint + `"message":"` + description + `"}`
}

const leagueMalformed = "The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed."

func TestOpenTicketIssuerRefuses(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).OpenTicket
	id, secret, token := p.ClientID, p.ClientSecret, p.Seed()
	unsupported := league("unsupported_grant_type", "The authorization grant type is not supported by the authorization server.", "Check that all required parameters have been provided")
	badClient := league("invalid_client", "Client authentication failed", "")
	badToken := league("invalid_request", "The refresh token is invalid.", "Cannot decrypt the refresh token")
	missing := func(name string) string {
		return league("invalid_request", leagueMalformed, "Check the `"+name+"` parameter")
	}

	good := form("/tokens", "grant_type", "refresh_token", "refresh_token", token, "client_id", id, "client_secret", secret)
	put, multipart, query, misnamed, broken := good, good, good, good, good
	put.method = "PUT"
	multipart.header = []string{"Content-Type: multipart/form-data; boundary=x"}
	query.target, query.body = "/tokens?"+good.body, ""
	misnamed.header = []string{"Content-Type: " + jsonType}
	broken.header, broken.body = misnamed.header, `{"grant_type":`
	none := map[string]string{"WWW-Authenticate": ""}
	runIssuerCases(t, p, []issuerCase{
		{"PUT", put, 405, "", map[string]string{"Allow": "POST"}},
		{"GET", call{"GET", "/tokens", nil, ""}, 405, "", nil},
		{"multipart", multipart, 400, unsupported, nil},
		{"query", query, 400, unsupported, nil},
		{"form called json", misnamed, 400, unsupported, nil},
		{"broken json", broken, 400, unsupported, nil},
		{"password grant", form("/tokens", "grant_type", "password", "client_id", id, "client_secret", secret), 400, unsupported, nil},
		{"no client", form("/tokens", "grant_type", "refresh_token", "refresh_token", token), 400, missing("client_id"), nil},
		{"unknown client", form("/tokens", "grant_type", "refresh_token", "refresh_token", token, "client_id", "x", "client_secret", secret), 401, badClient, none},
		{"wrong secret", form("/tokens", "grant_type", "refresh_token", "refresh_token", token, "client_id", id, "client_secret", "x"), 401, badClient, none},
		{"no secret", form("/tokens", "grant_type", "refresh_token", "refresh_token", token, "client_id", id), 401, badClient, none},
		{"wrong Basic", form("/tokens", "grant_type", "refresh_token", "refresh_token", token).with(basic(id, "x")), 401, badClient, map[string]string{"WWW-Authenticate": `Basic realm="OAuth"`}},
		{"body outranks Basic", form("/tokens", "grant_type", "refresh_token", "refresh_token", token, "client_id", id, "client_secret", "x").with(basic(id, secret)), 401, badClient, nil},
		{"no token", form("/tokens", "grant_type", "refresh_token", "client_id", id, "client_secret", secret), 400, missing("refresh_token"), nil},
		{"unknown token", form("/tokens", "grant_type", "refresh_token", "refresh_token", "x", "client_id", id, "client_secret", secret), 401, badToken, nil},
		{"no code", form("/tokens", "grant_type", "authorization_code", "client_id", id, "client_secret", secret), 400, missing("code"), nil},
		{"unknown code", form("/tokens", "grant_type", "authorization_code", "code", "x", "client_id", id, "client_secret", secret), 400, league("invalid_request", leagueMalformed, "Cannot decrypt the authorization code"), nil},
	})
}

func TestOpenTicketTakesEachClientAuthentication(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).OpenTicket
	inJSON := func(fields map[string]string) call {
		b, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return call{"POST", "/tokens", []string{"Content-Type: " + jsonType}, string(b)}
	}
	for name, c := range map[string]call{
		"json":       inJSON(map[string]string{"grant_type": "refresh_token", "refresh_token": p.Seed(), "client_id": p.ClientID, "client_secret": p.ClientSecret}),
		"json Basic": inJSON(map[string]string{"grant_type": "refresh_token", "refresh_token": p.Seed()}).with(basic(p.ClientID, p.ClientSecret)),
		"form":       form("/tokens", "grant_type", "refresh_token", "refresh_token", p.Seed(), "client_id", p.ClientID, "client_secret", p.ClientSecret),
		"form Basic": form("/tokens", "grant_type", "refresh_token", "refresh_token", p.Seed()).with(basic(p.ClientID, p.ClientSecret)),
		"library":    form("/token", "grant_type", "refresh_token", "refresh_token", p.Seed(), "client_id", p.ClientID, "client_secret", p.ClientSecret),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answerOf(t, p, 200, c)
		})
	}
}

func TestOpenTicketGrant(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).OpenTicket
	w := answerOf(t, p, 200, refreshCall(p, p.Seed()))
	g := decoded[struct {
		grant
		RefreshExpiresIn int `json:"refresh_token_expires_in"`
		Info             struct {
			User      struct{ GUID, Name, Email string }
			Companies []struct{ GUID, Name string }
		}
	}](t, w)
	if g.TokenType != "Bearer" || g.ExpiresIn != 259200 || g.RefreshExpiresIn != 31535999 {
		t.Errorf("got %s", w.Body)
	}
	if g.Info.User.GUID == "" || g.Info.User.Email == "" || len(g.Info.Companies) != 2 || g.Info.Companies[0].Name == "" {
		t.Errorf("info: got %+v", g.Info)
	}
	if _, claims := jwt(t, g.AccessToken); !strings.Contains(claims, `"exp":`) {
		t.Errorf("claims: got %s", claims)
	}
	if n := len(g.AccessToken); n > 2047 {
		t.Errorf("access token of %d characters", n)
	}
	if n := len(g.RefreshToken); n < 200 || n > 1023 {
		t.Errorf("refresh token of %d characters", n)
	}
}
