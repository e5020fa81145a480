package sandbox_test

import (
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/sandbox"
)

const callback = "http://127.0.0.1:7777/callback"

func authorize(p *sandbox.Provider, change ...string) url.Values {
	v := url.Values{"client_id": {p.ClientID}, "redirect_uri": {callback}, "response_type": {"code"}, "state": {"s &?"}}
	for i := 0; i < len(change); i += 2 {
		v.Set(change[i], change[i+1])
	}
	return v
}

// allowed approves the consent and returns the parameters of the redirect.
func allowed(t *testing.T, p *sandbox.Provider) url.Values {
	t.Helper()
	w := answerOf(t, p, 302, call{"GET", p.AuthorizePath + "?" + authorize(p, "approve", "1").Encode(), nil, ""})
	back, err := url.Parse(w.Header().Get("Location"))
	if err != nil || !strings.HasPrefix(back.String(), callback+"?") {
		t.Fatalf("Location: %q, %v", back, err)
	}
	return back.Query()
}

func exchangeCode(p *sandbox.Provider, code, redirect string) call {
	return form(p.TokenPath, "grant_type", "authorization_code", "client_id", p.ClientID, "client_secret", p.ClientSecret, "code", code, "redirect_uri", redirect)
}

func TestConsentPage(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).OpenTicket
	params := authorize(p, "state", `"><script>`)
	w := answerOf(t, p, 200, call{"GET", "/tokens/authorize?" + params.Encode(), nil, ""})
	wantHeader(t, w, "Content-Type", "text/html; charset=utf-8")
	for _, part := range []string{`<form method="post">`, `name="redirect_uri" value="` + callback + `"`, `>Allow</button>`, `>Deny</button>`} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("the page has no %s", part)
		}
	}
	if strings.Contains(w.Body.String(), "<script>") {
		t.Error("the page does not escape state")
	}
	for _, x := range []struct{ approve, name string }{{"1", "code"}, {"0", "error"}, {"", "error"}} {
		c := form("/tokens/authorize")
		c.body = authorize(p, "approve", x.approve).Encode()
		back, err := url.Parse(answerOf(t, p, 302, c).Header().Get("Location"))
		if err != nil || back.Query().Get(x.name) == "" || back.Query().Get("state") != "s &?" {
			t.Errorf("approve=%q: got %v, %v", x.approve, back, err)
		}
	}
}

func TestConsentRefuses(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).OpenTicket
	for name, x := range map[string]struct {
		params url.Values
		status int
	}{
		"no client":             {authorize(p, "client_id", ""), 400},
		"unknown client":        {authorize(p, "client_id", "x"), 401},
		"no redirect":           {authorize(p, "redirect_uri", ""), 401},
		"redirect off loopback": {authorize(p, "redirect_uri", "http://theatre.example/callback"), 401},
		"https redirect":        {authorize(p, "redirect_uri", "https://127.0.0.1/callback"), 401},
		"host after userinfo":   {authorize(p, "redirect_uri", "http://127.0.0.1@theatre.example/"), 401},
		"other response type":   {authorize(p, "response_type", "token"), 400},
		"no state":              {authorize(p, "state", ""), 400},
		"redirect to localhost": {authorize(p, "redirect_uri", "http://localhost:7777/"), 200},
		"redirect to IPv6":      {authorize(p, "redirect_uri", "http://[::1]:7777/"), 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := answerOf(t, p, x.status, call{"GET", p.AuthorizePath + "?" + x.params.Encode(), nil, ""})
			wantHeader(t, w, "Location", "")
		})
	}
}

func TestCodeIsRedeemedOnce(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).OpenTicket
	back := allowed(t, p)
	if back.Get("state") != "s &?" {
		t.Errorf("state: got %q", back.Get("state"))
	}
	code := back.Get("code")
	for redirect, hint := range map[string]string{"": "Check the `redirect_uri` parameter", callback + "/": "Invalid redirect URI"} {
		wantBody(t, answerOf(t, p, 400, exchangeCode(p, code, redirect)), league("invalid_request", leagueMalformed, hint))
	}
	g := decoded[grant](t, answerOf(t, p, 200, exchangeCode(p, code, callback)))
	mustAccept(t, p, g.AccessToken)
	refresh(t, p, g.RefreshToken)
	wantBody(t, answerOf(t, p, 400, exchangeCode(p, code, callback)), league("invalid_request", leagueMalformed, "Authorization code has been revoked"))
	if c := p.Counters(); c.FirstGrants != 1 || c.InvalidGrants != 3 {
		t.Errorf("counters: %+v", c)
	}
}

func TestCodeExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := sandbox.New(sandbox.Options{}).OpenTicket
		one, other := allowed(t, p).Get("code"), allowed(t, p).Get("code")
		time.Sleep(10*time.Minute - 1)
		answerOf(t, p, 200, exchangeCode(p, one, callback))
		time.Sleep(time.Nanosecond)
		wantBody(t, answerOf(t, p, 400, exchangeCode(p, other, callback)), league("invalid_request", leagueMalformed, "Authorization code has expired"))
	})
}
