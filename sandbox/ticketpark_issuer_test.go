package sandbox_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"testing"

	"ticketproxy/sandbox"
)

func TestTicketparkIssuerRefuses(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).Ticketpark
	token := p.Seed()
	auth := basic(p.ClientID, p.ClientSecret)
	refuses := func(name string, c call, code, description string) issuerCase {
		return issuerCase{name, c, 400, `{"error":"` + code + `","error_description":"` + description + `"}`, map[string]string{
			"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache", "WWW-Authenticate": "",
		}}
	}
	const path = "/oauth/v2/token"
	good := form(path, "grant_type", "refresh_token", "refresh_token", token)
	asJSON := call{"POST", path, []string{"Content-Type: " + jsonType, auth}, `{"grant_type":"refresh_token","refresh_token":"` + token + `"}`}
	inQuery := call{"POST", path + "?" + good.body, []string{"Content-Type: " + formType, auth}, ""}
	const noGrant = "Invalid grant_type parameter or parameter missing"
	runIssuerCases(t, p, []issuerCase{
		refuses("no grant type", form(path).with(auth), "invalid_request", noGrant),
		refuses("unknown grant type", form(path, "grant_type", "x").with(auth), "invalid_request", noGrant),
		refuses("json", asJSON, "invalid_request", noGrant),
		refuses("POST with query", inQuery, "invalid_request", noGrant),
		refuses("no client", good, "invalid_client", "Client id was not found in the headers or body"),
		refuses("bearer for a client", good.with(bearer("x")), "invalid_client", "Client id was not found in the headers or body"),
		refuses("wrong key", good.with(basic("x", p.ClientSecret)), "invalid_client", "The client credentials are invalid"),
		refuses("wrong secret", good.with(basic(p.ClientID, "x")), "invalid_client", "The client credentials are invalid"),
		refuses("Basic outranks body", form(path, "grant_type", "refresh_token", "refresh_token", token, "client_id", p.ClientID, "client_secret", p.ClientSecret).with(basic("x", "x")),
			"invalid_client", "The client credentials are invalid"),
		refuses("grant not enabled", form(path, "grant_type", "client_credentials").with(auth), "unauthorized_client", "The grant type is unauthorized for this client_id"),
		refuses("extension grant", form(path, "grant_type", "urn:x").with(auth), "unauthorized_client", "The grant type is unauthorized for this client_id"),
		refuses("no username", form(path, "grant_type", "password", "password", p.Password).with(auth), "invalid_request", `Missing parameters. \"username\" and \"password\" required`),
		refuses("wrong password", form(path, "grant_type", "password", "username", p.Username, "password", "x").with(auth), "invalid_grant", "Invalid username and password combination"),
		refuses("no token", form(path, "grant_type", "refresh_token").with(auth), "invalid_request", `No \"refresh_token\" parameter found`),
		refuses("unknown token", form(path, "grant_type", "refresh_token", "refresh_token", "x").with(auth), "invalid_grant", "Invalid refresh token"),
		{"PUT", call{"PUT", path, nil, ""}, 405, "", map[string]string{"Allow": "GET, POST"}},
	})
}

func TestTicketparkGrant(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).Ticketpark
	auth := basic(p.ClientID, p.ClientSecret)
	query := func(token string) string {
		return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {p.ClientID}, "client_secret": {p.ClientSecret}}.Encode()
	}
	for name, c := range map[string]call{
		"password": form(p.TokenPath, "grant_type", "password", "username", p.Username, "password", p.Password).with(auth),
		"refresh":  form(p.TokenPath, "grant_type", "refresh_token", "refresh_token", p.Seed()).with(auth),
		"body":     refreshCall(p, p.Seed()),
		"GET":      {"GET", p.TokenPath + "?" + query(p.Seed()), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := answerOf(t, p, 200, c)
			shape := `^\{"access_token":"[\w-]{86}","expires_in":600,"token_type":"bearer","scope":null,"refresh_token":"[\w-]{86}"\}$`
			if !regexp.MustCompile(shape).MatchString(w.Body.String()) {
				t.Errorf("got %s", w.Body)
			}
			wantHeader(t, w, "Cache-Control", "no-store")
			wantHeader(t, w, "Pragma", "no-cache")
			plain, err := base64.RawURLEncoding.DecodeString(decoded[grant](t, w).AccessToken)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := hex.DecodeString(string(plain)); err != nil {
				t.Error(err)
			}
		})
	}
}
