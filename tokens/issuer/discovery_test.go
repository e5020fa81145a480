package issuer_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/dialect"
	"ticketproxy/tokens/issuer"
)

const openid = "https://id.example/tenant/.well-known/openid-configuration"

// A discovered issuer answers GETs from documents, and token requests with a grant. It
// keeps what was asked.
type discovered struct {
	documents map[string]string
	refuse    int // so many token requests
	asked     []string
	auth      string // of the last token request
}

func (i *discovered) RoundTrip(req *http.Request) (*http.Response, error) {
	i.asked = append(i.asked, req.URL.String())
	if req.Body == nil {
		req.Body = http.NoBody
	}
	status, text := http.StatusNotFound, "no"
	if req.Method == http.MethodPost {
		form, _ := io.ReadAll(req.Body)
		i.auth = req.Header.Get("Authorization") + strings.Repeat("body", strings.Count(string(form), "client_secret="))
		status, text = http.StatusOK, `{"access_token":"a","token_type":"Bearer","refresh_token":"r","expires_in":60}`
		if i.refuse > 0 {
			i.refuse--
			status, text = http.StatusNotFound, "moved"
		}
	} else if document, ok := i.documents[req.URL.String()]; ok {
		if strings.HasPrefix(document, "https://") {
			return answering(http.StatusMovedPermanently, http.Header{"Location": {document}}, "")(req)
		}
		status, text = http.StatusOK, document
	}
	return answering(status, nil, text)(req)
}

func discovering(t *testing.T, i *discovered) issuer.Config {
	d := lookup(t, "generic")
	d.TokenURL, d.AuthorizeURL = "", ""
	return issuer.Config{
		Dialect: d, ClientID: clientID, ClientSecret: secret.New(clientSecret), Transport: i,
		IssuerURL: "https://id.example/tenant", AnyClientAuth: true,
	}
}

func document(more string) string {
	return `{"issuer":"https://id.example/tenant","token_endpoint":"https://id.example/token",` +
		`"authorization_endpoint":"https://id.example/authorize"` + more + `}`
}

// The endpoints are looked up once, and again after a token request that was refused.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	i := &discovered{documents: map[string]string{openid: document("")}}
	c := issuer.New(discovering(t, i))
	for range 2 {
		if _, err := byRefresh(c); err != nil {
			t.Fatal(err)
		}
	}
	i.refuse = 1
	_, err := byRefresh(c)
	if e := failure(t, err); e.Class != tokens.Refused {
		t.Errorf("class %v", e.Class)
	}
	if _, err := byRefresh(c); err != nil {
		t.Fatal(err)
	}
	const token = "https://id.example/token"
	if got, want := fmt.Sprint(i.asked), fmt.Sprint([]string{openid, token, token, token, openid, token}); got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	if d := c.Dialect(); d.AuthorizeURL != "https://id.example/authorize" || !d.PKCE {
		t.Errorf("dialect %+v", d)
	}
	if u := c.AuthorizeURL("http://127.0.0.1/", "state", "challenge"); !strings.HasPrefix(u, "https://id.example/authorize?") {
		t.Errorf("authorize URL %s", u)
	}
}

// What the user has set stays, and the rest is as the metadata says.
func TestDiscoveredSettings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		more   string
		change func(*issuer.Config)
		auth   dialect.ClientAuth
		pkce   bool
	}{
		"nothing said":       {"", func(*issuer.Config) {}, dialect.AuthBasic, true},
		"basic among others": {`,"token_endpoint_auth_methods_supported":["private_key_jwt","client_secret_post","client_secret_basic"]`, func(*issuer.Config) {}, dialect.AuthBasic, true},
		"body alone":         {`,"token_endpoint_auth_methods_supported":["client_secret_post"]`, func(*issuer.Config) {}, dialect.AuthBody, true},
		"nothing we know":    {`,"token_endpoint_auth_methods_supported":["tls_client_auth"]`, func(*issuer.Config) {}, dialect.AuthBasic, true},
		"no secret":          {"", func(c *issuer.Config) { c.ClientSecret = secret.String{} }, dialect.AuthNone, true},
		"set by the user": {`,"token_endpoint_auth_methods_supported":["client_secret_post"]`, func(c *issuer.Config) {
			c.AnyClientAuth, c.Dialect.ClientAuth = false, dialect.AuthBasicPlain
		}, dialect.AuthBasicPlain, true},
		"PKCE":         {`,"code_challenge_methods_supported":["plain","S256"]`, func(*issuer.Config) {}, dialect.AuthBasic, true},
		"no such PKCE": {`,"code_challenge_methods_supported":["plain"]`, func(*issuer.Config) {}, dialect.AuthBasic, false},
	} {
		c := discovering(t, &discovered{documents: map[string]string{openid: document(test.more)}})
		test.change(&c)
		client := issuer.New(c)
		if err := client.Discover(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := client.Dialect(); d.ClientAuth != test.auth || d.PKCE != test.pkce {
			t.Errorf("%s: %s, PKCE %v", name, d.ClientAuth, d.PKCE)
		}
	}
	c := discovering(t, &discovered{documents: map[string]string{openid: document("")}})
	c.Dialect.TokenURL = "https://own.example/token"
	client := issuer.New(c)
	if err := client.Discover(t.Context()); err != nil || client.Dialect().TokenURL != "https://own.example/token" {
		t.Errorf("token URL %s, %v", client.Dialect().TokenURL, err)
	}
}

// Metadata of another issuer, and endpoints without TLS, are refused. Nothing is sent then.
func TestDiscoveryRefusals(t *testing.T) {
	t.Parallel()
	const oauth = "https://id.example/.well-known/oauth-authorization-server/tenant"
	for name, test := range map[string]struct {
		documents map[string]string
		want      string // "" for no error
	}{
		"RFC 8414":   {map[string]string{oauth: document("")}, ""},
		"a redirect": {map[string]string{openid: openid + "/", openid + "/": document("")}, ""},
		"two redirects": {map[string]string{
			openid: openid + "/", openid + "/": openid + "/x", openid + "/x": document(""),
		}, "id.example answered 404"},
		"a redirect elsewhere": {map[string]string{
			openid: "https://evil.example/x", "https://evil.example/x": document(""),
		}, "id.example answered 404"},
		"a slash more":          {map[string]string{openid: strings.Replace(document(""), `tenant"`, `tenant/"`, 1)}, ""},
		"none":                  {nil, "id.example answered 404"},
		"another issuer":        {map[string]string{openid: strings.Replace(document(""), "tenant", "other", 1)}, "names another issuer"},
		"no token endpoint":     {map[string]string{openid: `{"issuer":"https://id.example/tenant"}`}, "an endpoint without TLS, or none"},
		"without TLS":           {map[string]string{openid: strings.Replace(document(""), "https://id.example/token", "http://id.example/token", 1)}, "without TLS"},
		"authorize without TLS": {map[string]string{openid: strings.Replace(document(""), "https://id.example/auth", "http://id.example/auth", 1)}, "without TLS"},
		"no JSON":               {map[string]string{openid: "<html>"}, "not a JSON object"},
		"too long":              {map[string]string{openid: document(`,"x":"` + strings.Repeat("x", 1<<20) + `"`)}, "longer than 1 MiB"},
	} {
		i := &discovered{documents: test.documents}
		_, err := byRefresh(issuer.New(discovering(t, i)))
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if e := failure(t, err); e.Class != tokens.NotSent || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v: %v", name, e.Class, err)
		}
		for _, address := range i.asked {
			if strings.HasSuffix(address, "/token") {
				t.Errorf("%s: the refresh token was sent", name)
			}
		}
	}
}
