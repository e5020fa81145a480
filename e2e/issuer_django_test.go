package e2e

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startDjango starts django-oauth-toolkit with its default of no grace period: a refresh
// token that was redeemed once is refused, even when the answer was lost.
func startDjango(t *testing.T) *foreignIssuer {
	t.Helper()
	return startDjangoProject(t, 0)
}

// startDjangoWithGrace starts django-oauth-toolkit with a grace period. During it a refresh
// token that was redeemed before gives the same tokens as before.
func startDjangoWithGrace(t *testing.T) *foreignIssuer {
	t.Helper()
	f := startDjangoProject(t, time.Minute)
	f.name, f.lostAnswer = "django-oauth-toolkit with grace", true
	return f
}

// startDjangoProject starts the project in issuers/django with Debian's django-oauth-toolkit.
func startDjangoProject(t *testing.T, grace time.Duration) *foreignIssuer {
	t.Helper()
	const python = "/usr/bin/python3" // Debian's, which has Debian's packages
	requirePrograms(t, python+" -c __import__('oauth2_provider')")
	const (
		user, password   = "ada", "e2e-only-password"
		clientID, secret = "ticketproxy", "e2e only: +/%&="
		lifetime         = 10 * time.Second
	)
	at, front := freeAddress(t), freeAddress(t)
	origin := "http://" + front
	f := &foreignIssuer{
		name:           "django-oauth-toolkit",
		tokenURL:       origin + "/o/token/",
		redirectURI:    "http://" + freeAddress(t) + "/callback",
		accessLifetime: lifetime,
		rotates:        true,
		authRefused:    true,
	}
	// It has metadata, but at an address that ends with a slash, unlike any that OpenID
	// Connect or RFC 8414 give. It redirects from the right one.
	f.settings = []string{
		"PROVIDER=generic", "CLIENT_ID=" + clientID, "CLIENT_SECRET=" + secret, "CLIENT_AUTH=basic", "SCOPE=tickets",
		"TOKEN_URL=" + f.tokenURL, "AUTHORIZE_URL=" + origin + "/o/authorize/",
	}

	cmd := exec.Command(python, "serve.py", at)
	cmd.Dir = filepath.Join("issuers", "django")
	cmd.Env = append(os.Environ(),
		"PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1",
		"ISSUER_DATABASE="+filepath.Join(t.TempDir(), "db.sqlite3"),
		"ISSUER_ACCESS_LIFETIME="+strconv.Itoa(int(lifetime.Seconds())),
		"ISSUER_GRACE_PERIOD="+strconv.Itoa(int(grace.Seconds())),
		"ISSUER_USER="+user, "ISSUER_PASSWORD="+password,
		"ISSUER_CLIENT_ID="+clientID, "ISSUER_CLIENT_SECRET="+secret, "ISSUER_REDIRECT_URI="+f.redirectURI,
	)
	startProgram(t, at, cmd)
	f.front = startIssuerFront(t, front, at, "/o/token/")

	f.allow = func(t *testing.T, address string) string {
		t.Helper()
		browser := newIssuerBrowser(t, f.redirectURI)
		login := browser.mustPage(http.MethodGet, address, nil)
		login.fields.Set("username", user)
		login.fields.Set("password", password)
		consent := browser.mustPage(http.MethodPost, login.action, login.fields)
		consent.fields.Set("allow", "Authorize") // the button
		return browser.mustReturn(http.MethodPost, consent.action, consent.fields)
	}
	asClient := func(t *testing.T, address string, form url.Values) *http.Response {
		t.Helper()
		return postAsClient(t, address, url.QueryEscape(clientID), url.QueryEscape(secret), form)
	}
	f.introspect = func(t *testing.T, token string) time.Time {
		t.Helper()
		return introspection(t, asClient(t, origin+"/o/introspect/", url.Values{"token": {token}}))
	}
	f.refresh = func(t *testing.T, token string) (int, string) {
		t.Helper()
		return tokenError(t, asClient(t, f.tokenURL, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}))
	}
	return f
}

// An issuerBrowser goes through the pages of an issuer as a person's browser does. It keeps
// cookies, and does not go to the redirect URI.
type issuerBrowser struct {
	*testing.T
	client      *http.Client
	redirectURI string
}

// newIssuerBrowser returns a browser without cookies.
func newIssuerBrowser(t *testing.T, redirectURI string) *issuerBrowser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &issuerBrowser{T: t, redirectURI: redirectURI, client: &http.Client{Jar: jar, Timeout: time.Minute}}
	b.client.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(req.URL.String(), redirectURI) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return b
}

// An issuerPage is a page with one form.
type issuerPage struct {
	action string // the form's absolute address
	fields url.Values
}

var (
	formAction  = regexp.MustCompile(`(?s)<form[^>]*\baction="([^"]*)"`)
	hiddenInput = regexp.MustCompile(`(?s)<input[^>]*\btype="hidden"[^>]*>`)
	inputName   = regexp.MustCompile(`\bname="([^"]*)"`)
	inputValue  = regexp.MustCompile(`\bvalue="([^"]*)"`)
)

// mustPage requests a page, and reads its form with the hidden fields.
func (b *issuerBrowser) mustPage(method, address string, form url.Values) issuerPage {
	b.Helper()
	res := b.mustDo(method, address, form)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(text), "<form") {
		b.Fatalf("%s %s: %s, %v, want a page with a form:\n%.2000s", method, res.Request.URL, res.Status, err, text)
	}
	page := issuerPage{action: res.Request.URL.String(), fields: url.Values{}}
	if action := formAction.FindStringSubmatch(string(text)); action != nil {
		to, err := res.Request.URL.Parse(html.UnescapeString(action[1]))
		if err != nil {
			b.Fatal(err)
		}
		page.action = to.String()
	}
	for _, input := range hiddenInput.FindAllString(string(text), -1) {
		name, value := inputName.FindStringSubmatch(input), inputValue.FindStringSubmatch(input)
		if name != nil && value != nil {
			page.fields.Set(html.UnescapeString(name[1]), html.UnescapeString(value[1]))
		}
	}
	return page
}

// mustReturn sends a form, and returns the address of the redirect URI to which the issuer
// sends the browser.
func (b *issuerBrowser) mustReturn(method, address string, form url.Values) string {
	b.Helper()
	res := b.mustDo(method, address, form)
	defer res.Body.Close()
	location := res.Header.Get("Location")
	if !strings.HasPrefix(location, b.redirectURI) {
		text, _ := io.ReadAll(res.Body)
		b.Fatalf("%s %s: %s to %q, want a redirect to %s:\n%.2000s",
			method, res.Request.URL, res.Status, location, b.redirectURI, text)
	}
	return location
}

// mustDo makes a request. Django wants a Referer with a form, as browsers send it.
func (b *issuerBrowser) mustDo(method, address string, form url.Values) *http.Response {
	b.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Referer", address)
	}
	res, err := b.client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	return res
}

// postAsClient posts a form with HTTP Basic authentication.
func postAsClient(t *testing.T, address, id, secret string, form url.Values) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(id, secret)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// tokenError returns the status and the error code of a token endpoint's answer. There is no
// code in an answer without a body.
func tokenError(t *testing.T, res *http.Response) (status int, code string) {
	t.Helper()
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	var answer struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil && len(text) > 0 {
		t.Errorf("%s from the token endpoint: %v\n%.2000s", res.Status, err, text)
	}
	return res.StatusCode, answer.Error
}
