package tokenendpoint_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestForms(t *testing.T) {
	t.Parallel()
	const form = "Content-Type: application/x-www-form-urlencoded"
	for _, test := range []struct {
		name, body, oauth string // oauth is "" for a form that is served
		header            []string
	}{
		{name: "plain", body: "grant_type=client_credentials"},
		{name: "charset", body: "grant_type=client_credentials", header: []string{form + ";charset=UTF-8"}},
		{name: "charset in quotes", body: "grant_type=client_credentials", header: []string{form + `; charset="utf-8"`}},
		{name: "type in capitals", body: "grant_type=client_credentials", header: []string{"Content-Type: Application/X-WWW-Form-URLEncoded"}},
		{name: "scope", body: "grant_type=client_credentials&scope=read+write"},
		{name: "unknown parameters", body: "grant_type=client_credentials&audience=a&audience=b&resource=c"},
		{name: "encoded", body: "grant%5Ftype=client%5Fcredentials"},
		{name: "empty parameters", body: "grant_type=client_credentials&&client_id=&min="},
		{name: "long token", body: "grant_type=client_credentials&refused=" + strings.Repeat("x", 60<<10)},

		{name: "no body", oauth: "invalid_request"},
		{name: "no grant", body: "a=b", oauth: "invalid_request"},
		{name: "empty grant", body: "grant_type=", oauth: "invalid_request"},
		{name: "other grant", body: "grant_type=refresh_token&refresh_token=x", oauth: "unsupported_grant_type"},
		{name: "password", body: "grant_type=password&username=a&password=b", oauth: "unsupported_grant_type"},
		{name: "grant in capitals", body: "grant_type=Client_Credentials", oauth: "unsupported_grant_type"},
		{name: "grant with a space", body: "grant_type=client_credentials+", oauth: "unsupported_grant_type"},
		{name: "grant with a NUL", body: "grant_type=client_credentials%00", oauth: "unsupported_grant_type"},
		{name: "two grants", body: "grant_type=client_credentials&grant_type=client_credentials", oauth: "invalid_request"},
		{name: "two different grants", body: "grant_type=password&grant_type=client_credentials", oauth: "invalid_request"},
		{name: "two ids", body: "grant_type=client_credentials&client_id=a&client_id=b", oauth: "invalid_request"},
		{name: "two secrets", body: "grant_type=client_credentials&client_secret=a&client_secret=b", oauth: "invalid_request"},
		{name: "two refused tokens", body: "grant_type=client_credentials&refused=a&refused=b", oauth: "invalid_request"},
		{name: "two scopes", body: "grant_type=client_credentials&scope=a&scope=b", oauth: "invalid_request"},
		{name: "two spellings", body: "grant_type=client_credentials&grant%5ftype=password", oauth: "invalid_request"},
		{name: "semicolon", body: "grant_type=client_credentials;client_id=a", oauth: "invalid_request"},
		{name: "broken encoding", body: "grant_type=client_credentials&a=%zz", oauth: "invalid_request"},
		{name: "too long", body: "grant_type=client_credentials&a=" + strings.Repeat("x", 64<<10), oauth: "invalid_request"},
		{name: "too many", body: "grant_type=client_credentials" + strings.Repeat("&a", 30<<10), oauth: "invalid_request"},
		{name: "no type", body: "grant_type=client_credentials", header: []string{"Content-Type: "}, oauth: "invalid_request"},
		{name: "JSON", body: `{"grant_type":"client_credentials"}`, header: []string{"Content-Type: application/json"}, oauth: "invalid_request"},
		{name: "form as JSON", body: "grant_type=client_credentials", header: []string{"Content-Type: application/json"}, oauth: "invalid_request"},
		{name: "text", body: "grant_type=client_credentials", header: []string{"Content-Type: text/plain"}, oauth: "invalid_request"},
		{name: "multipart", body: "--x\r\n\r\n--x--", header: []string{"Content-Type: multipart/form-data; boundary=x"}, oauth: "invalid_request"},
		{name: "UTF-16", body: "grant_type=client_credentials", header: []string{form + "; charset=utf-16"}, oauth: "invalid_request"},
		{name: "Latin 1", body: "grant_type=client_credentials", header: []string{form + "; charset=iso-8859-1"}, oauth: "invalid_request"},
		{name: "two charsets", body: "grant_type=client_credentials", header: []string{form + "; charset=utf-8; charset=utf-16"}, oauth: "invalid_request"},
		{name: "compressed", body: "grant_type=client_credentials", header: []string{"Content-Encoding: gzip"}, oauth: "invalid_request"},
		{name: "two types", body: "grant_type=client_credentials", header: []string{form, "content-type: text/plain"}, oauth: "invalid_request"},
		{name: "two types in one", body: "grant_type=client_credentials", header: []string{form + ", text/plain"}, oauth: "invalid_request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture()
			r := request(http.MethodPost, "/token/park", test.body, test.header...)
			if test.oauth == "" {
				f.serve(t, r)
				return
			}
			a := f.refuse(t, r, http.StatusBadRequest, "bad_request")
			if a.members["error"] != test.oauth {
				t.Errorf("error %q, want %q: %s", a.members["error"], test.oauth, a.text)
			}
			if len(f.park.least) != 0 {
				t.Error("a token was asked for")
			}
		})
	}
}

// Parameters in the URL of a POST mean nothing, but for min; what is secret there is refused.
func TestParametersInTheURL(t *testing.T) {
	t.Parallel()
	f := newFixture()
	f.serve(t, post("/token/park?client_id=a&audience=b", ""))
	for _, query := range []string{"client_secret=a", "refused=a", "grant_type=client_credentials", "client_assertion=a", "client_secret", "client%5fsecret=a"} {
		f.refuse(t, post("/token/park?"+query, ""), http.StatusBadRequest, "bad_request")
		f.refuse(t, get("/token/park?"+query), http.StatusBadRequest, "bad_request")
	}
}

// Whatever a form is, a token is handed out only for one client_credentials, and the answer is
// JSON.
func FuzzForm(f *testing.F) {
	const form = "application/x-www-form-urlencoded"
	f.Add("grant_type=client_credentials&min=60s", form, "")
	f.Add("grant_type=client_credentials&refused=%20", form+"; charset=utf-8", "min=1s")
	f.Add("grant_type=a&grant_type=client_credentials", form, "client_secret=a")
	f.Add("\x00;%", "text/plain", "%zz")
	f.Fuzz(func(t *testing.T, body, contentType, query string) {
		f := newFixture()
		r := request(http.MethodPost, "/token/park", body)
		r.Header.Set("Content-Type", contentType)
		r.URL.RawQuery = query
		a := f.do(t, r)
		if a.StatusCode != http.StatusOK {
			return
		}
		values, err := url.ParseQuery(body)
		if err != nil || len(values["grant_type"]) != 1 || values.Get("grant_type") != "client_credentials" ||
			!strings.HasPrefix(strings.ToLower(strings.TrimSpace(contentType)), form) {
			t.Errorf("a token for %q as %q", body, contentType)
		}
	})
}
