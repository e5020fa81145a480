package sandbox_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"ticketproxy/sandbox"
)

// An issuerCase is one request to an issuer and the expected answer.
type issuerCase struct {
	name   string
	call   call
	status int
	body   string // exact
	header map[string]string
}

func runIssuerCases(t *testing.T, p *sandbox.Provider, table []issuerCase) {
	t.Helper()
	for _, x := range table {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			w := answerOf(t, p, x.status, x.call)
			if x.body != "" {
				wantBody(t, w, x.body)
			}
			for name, value := range x.header {
				wantHeader(t, w, name, value)
			}
		})
	}
}

func form(path string, pairs ...string) call {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return call{"POST", path, []string{"Content-Type: " + formType}, v.Encode()}
}

func (c call) with(lines ...string) call {
	c.header = append(append([]string{}, c.header...), lines...)
	return c
}

func TestSocialBoardsIssuerRefuses(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).SocialBoards
	id, token := p.ClientID, p.Seed()
	katana := map[string]string{
		"Content-Type": "application/json;charset=UTF-8", "Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "-1",
	}
	refuses := func(name, code string, c call) issuerCase {
		return issuerCase{name, c, 400, `{"error":"` + code + `"}`, katana}
	}
	good := form("/token", "grant_type", "refresh_token", "refresh_token", token, "client_id", id)
	asJSON, asMultipart := good, good
	asJSON.header = []string{"Content-Type: " + jsonType}
	asMultipart.header = []string{"Content-Type: multipart/form-data; boundary=x"}
	inQuery := call{"POST", "/token?" + good.body, good.header, ""}
	runIssuerCases(t, p, []issuerCase{
		refuses("no client", "invalid_client", form("/token", "grant_type", "refresh_token", "refresh_token", token)),
		refuses("unknown client", "invalid_client", form("/token", "grant_type", "refresh_token", "refresh_token", token, "client_id", "x")),
		refuses("client twice", "invalid_client", form("/token", "grant_type", "refresh_token", "refresh_token", token, "client_id", id, "client_id", id)),
		refuses("client in Basic", "invalid_client", form("/token", "grant_type", "refresh_token", "refresh_token", token).with(basic(id, ""))),
		refuses("json", "invalid_client", asJSON),
		refuses("multipart", "invalid_client", asMultipart),
		refuses("query", "invalid_client", inQuery),
		refuses("no grant type", "unsupported_grant_type", form("/token", "refresh_token", token, "client_id", id)),
		refuses("other grant type", "unsupported_grant_type", form("/token", "grant_type", "password", "client_id", id)),
		refuses("misspelt grant type", "unsupported_grant_type", form("/token", "grand_type", "refresh_token", "refresh_token", token, "client_id", id)),
		refuses("no token", "invalid_grant", form("/token", "grant_type", "refresh_token", "client_id", id)),
		refuses("unknown token", "invalid_grant", form("/token", "grant_type", "refresh_token", "refresh_token", "x", "client_id", id)),
		refuses("token not encoded", "invalid_grant", call{"POST", "/token", good.header, "grant_type=refresh_token&client_id=" + id + "&refresh_token=" + token}),
		{"GET", call{"GET", "/token", nil, ""}, 405, "", map[string]string{"Allow": "POST"}},
	})
}

func basic(id, secret string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

func TestSocialBoardsGrant(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).SocialBoards
	var seed string
	for range 20 {
		seed = p.Seed()
		if len(seed) != 44 || !strings.HasSuffix(seed, "=") || !strings.Contains(seed, "+") || !strings.Contains(seed, "/") {
			t.Errorf("refresh token %q does not have the documented format", seed)
		}
	}
	w := answerOf(t, p, 200, refreshCall(p, seed))
	wantHeader(t, w, "Content-Type", "application/json;charset=UTF-8")
	wantHeader(t, w, "Expires", "-1")
	g := decoded[grant](t, w)
	wantBody(t, w, `{"access_token":"`+g.AccessToken+`","token_type":"bearer","expires_in":3599,"refresh_token":"`+seed+`"}`)

	header, claims := jwt(t, g.AccessToken)
	if header != `{"alg":"HS512","typ":"JWT"}` {
		t.Errorf("header: got %s", header)
	}
	var c struct {
		Cid, Type, Iss, Aud string
		Nbf, Exp            int64
	}
	if err := json.Unmarshal([]byte(claims), &c); err != nil {
		t.Fatal(err)
	}
	if c.Cid == "" || c.Type != "Community" || c.Iss != "socialboards.com" || c.Aud == "" || c.Exp-c.Nbf != 3600 {
		t.Errorf("claims: got %s", claims)
	}
}

// jwt decodes header and claims.
func jwt(t *testing.T, token string) (header, claims string) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is not a JWT", token)
	}
	var plain [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		plain[i] = b
	}
	return string(plain[0]), string(plain[1])
}

func TestProvidersShareNoTokens(t *testing.T) {
	t.Parallel()
	s := sandbox.New(sandbox.Options{})
	for _, from := range s.Providers() {
		seed, access := from.Seed(), newAccessToken(t, from)
		for _, to := range s.Providers() {
			if to != from {
				mustRefuseRefresh(t, to, seed)
				mustReject(t, to, access)
			}
		}
	}
}

func TestUnknownTokenPathIsAnAPIPath(t *testing.T) {
	t.Parallel()
	forEachProvider(t, sandbox.Options{}, func(t *testing.T, p *sandbox.Provider) {
		answerOf(t, p, http.StatusUnauthorized, call{"POST", p.TokenPath + "/", nil, ""})
	})
}

// Each vendor has its own error for a token that was valid once.
func TestSpentAndRevokedTokens(t *testing.T) {
	t.Parallel()
	errors := map[string]string{
		"socialboards": `{"error":"invalid_grant"}`,
		"openticket":   league("invalid_request", "The refresh token is invalid.", "Token has been revoked"),
		"ticketpark":   `{"error":"invalid_grant","error_description":"Invalid refresh token"}`,
	}
	forEachProvider(t, sandbox.Options{Rotate: true}, func(t *testing.T, p *sandbox.Provider) {
		spent, revoked := p.Seed(), p.Seed()
		refresh(t, p, spent)
		status := map[bool]int{true: 401, false: 400}[p.Name == "openticket"]
		wantBody(t, answerOf(t, p, status, refreshCall(p, spent)), errors[p.Name])
		p.RevokeAll()
		wantBody(t, answerOf(t, p, status, refreshCall(p, revoked)), errors[p.Name])
	})
}
