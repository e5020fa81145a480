package server

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const stubFile = `
callers:
  shop: {keys: [KEY(shop)], may: [{upstream: park}]}
  erp:  {keys: [KEY(erp)], may: [{upstream: shop}]}
`

const formType = "application/x-www-form-urlencoded"

// tokenRequest asks the stub token endpoint, and returns the answer's status and members.
func (g *gateway) tokenRequest(body string, header ...string) (*http.Response, map[string]any) {
	g.t.Helper()
	res, text := g.send("", "POST", "/park/token", body, header...)
	var members map[string]any
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		g.t.Fatalf("%s: %v", text, err)
	}
	return res, members
}

func basicOf(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// TestStubTokenEndpoint tests that an app which does its own OAuth proves itself as a client,
// in each way that clients have, and gets a placeholder that proves it.
func TestStubTokenEndpoint(t *testing.T) {
	withGateway(t, stubFile, nil, func(g *gateway) {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"shop"}, "client_secret": {g.key("shop")}}
		object, _ := json.Marshal(map[string]string{"client_id": "shop", "client_secret": g.key("shop")})
		for name, send := range map[string][]string{
			"form":    {form.Encode(), "Content-Type", formType},
			"JSON":    {string(object), "Content-Type", "application/json; charset=utf-8"},
			"Basic":   {"grant_type=client_credentials", "Content-Type", formType, "Authorization", basicOf("shop", g.key("shop"))},
			"both":    {form.Encode(), "Content-Type", formType, "Authorization", basicOf("shop", g.key("shop"))},
			"no form": {"x", "Content-Type", "text/plain", "Authorization", basicOf("shop", g.key("shop"))},
			"by a proxy, and as another client": {"client_id=vendor&client_secret=vendors", "Content-Type", formType,
				"Proxy-Authorization", basicOf("shop", g.key("shop"))},
			"by a proxy": {"", "Proxy-Authorization", basicOf("shop", g.key("shop"))},
		} {
			res, members := g.tokenRequest(send[0], send[1:]...)
			token, _ := members["access_token"].(string)
			if res.StatusCode != 200 || !strings.HasPrefix(token, "tpp_") || res.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%s: %d %v", name, res.StatusCode, members)
			}
			if members["refresh_token"] != nil && members["refresh_token"] != token {
				t.Errorf("%s: the refresh token is another", name)
			}
			g.setKey("placeholder", token)
			g.expect("placeholder", "GET", "/park/a", 200, "")
			g.expect("placeholder", "GET", "/shop/a", 403, "forbidden")
		}
		g.setKey("guess", "tpp_"+strings.Repeat("A", 100))
		g.expect("guess", "GET", "/park/a", 401, "unauthenticated")
		g.setKey("worthless", "ticketproxy-placeholder")
		g.expect("worthless", "GET", "/park/a", 401, "unauthenticated")

		if res, members := g.tokenRequest("", "Authorization", "Bearer "+g.key("placeholder")); res.StatusCode != 401 {
			t.Errorf("a placeholder for a placeholder: %d %v", res.StatusCode, members)
		}
		if res, members := g.tokenRequest("", "Authorization", basicOf("shop", g.key("placeholder"))); res.StatusCode != 401 {
			t.Errorf("a placeholder as the secret: %d %v", res.StatusCode, members)
		}
		g.write(strings.Replace(stubFile, "KEY(shop)", "KEY(next)", 1))
		time.Sleep(reloadTime)
		g.expect("placeholder", "GET", "/park/a", 401, "unauthenticated")
	})
}

// TestStubTokenEndpointRefuses tests what an app is told that does not prove itself, in the
// form that OAuth clients read.
func TestStubTokenEndpointRefuses(t *testing.T) {
	withGateway(t, stubFile, nil, func(g *gateway) {
		key := g.key("shop")
		for name, tt := range map[string]struct {
			body   string
			header []string
			status int
			error  string
		}{
			"nothing":        {"grant_type=client_credentials", []string{"Content-Type", formType}, 401, "invalid_client"},
			"a wrong secret": {"client_id=shop&client_secret=guess", []string{"Content-Type", formType}, 401, "invalid_client"},
			"another's name": {"client_id=erp&client_secret=" + key, []string{"Content-Type", formType}, 401, "invalid_client"},
			"no name":        {"client_secret=" + key, []string{"Content-Type", formType}, 401, "invalid_client"},
			"wrong in Basic": {"", []string{"Authorization", basicOf("shop", "guess")}, 401, "invalid_client"},
			"two callers": {"client_id=shop&client_secret=" + key,
				[]string{"Content-Type", formType, "Authorization", basicOf("erp", g.key("erp"))}, 400, "invalid_request"},
			"wrong by a proxy": {"client_id=shop&client_secret=" + key,
				[]string{"Content-Type", formType, "Proxy-Authorization", basicOf("shop", "guess")}, 401, "invalid_client"},
			"wrong by a proxy, and Basic": {"",
				[]string{"Proxy-Authorization", "Digest x", "Authorization", basicOf("shop", key)}, 401, "invalid_client"},
			"two secrets": {"client_id=shop&client_secret=x&client_secret=" + key, []string{"Content-Type", formType}, 400, "invalid_request"},
			"no form":     {"%zz", []string{"Content-Type", formType}, 400, "invalid_request"},
			"no JSON":     {"{", []string{"Content-Type", "application/json"}, 400, "invalid_request"},
			"a number":    {`{"client_id":1}`, []string{"Content-Type", "application/json"}, 400, "invalid_request"},
			"a list":      {"[]", []string{"Content-Type", "application/json"}, 400, "invalid_request"},
			"null":        {"null", []string{"Content-Type", "application/json"}, 400, "invalid_request"},
			"a text":      {"client_id=shop&client_secret=" + key, []string{"Content-Type", "text/plain"}, 400, "invalid_request"},
			"compressed":  {"x", []string{"Content-Type", formType, "Content-Encoding", "gzip"}, 400, "invalid_request"},
			"very long":   {strings.Repeat("x", 64<<10+1), []string{"Content-Type", formType}, 400, "invalid_request"},
		} {
			res, members := g.tokenRequest(tt.body, tt.header...)
			if res.StatusCode != tt.status || members["error"] != tt.error || members["error_description"] == "" ||
				res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d %v", name, res.StatusCode, members)
			}
			description, _ := members["error_description"].(string)
			if strings.ContainsFunc(description, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
				t.Errorf("%s: RFC 6749 does not allow %q", name, description)
			}
			if (res.StatusCode == 401) != (res.Header.Get("Www-Authenticate") != "") {
				t.Errorf("%s: challenge %q", name, res.Header.Get("Www-Authenticate"))
			}
		}
		if g.passed() > 0 {
			t.Errorf("the API got %q", g.api)
		}
	})
}
