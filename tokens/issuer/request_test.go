package issuer_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/dialect"
	"ticketproxy/tokens/issuer"
)

// TestNetHTTPRepeatsNothing checks that a request has nothing for which net/http would
// send it again, or elsewhere.
func TestNetHTTPRepeatsNothing(t *testing.T) {
	t.Parallel()
	refresh(t, lookup(t, "generic"), fakeIssuer(func(req *http.Request) (*http.Response, error) {
		if req.GetBody != nil || req.Body == nil || req.ContentLength <= 0 || !req.Close {
			t.Errorf("GetBody %v, length %d, close %v", req.GetBody != nil, req.ContentLength, req.Close)
		}
		for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
			if _, ok := req.Header[name]; ok {
				t.Errorf("request has %s", name)
			}
		}
		return nil, io.EOF
	}))
	tr := issuer.Transport(nil, nil, nil)
	if !tr.DisableKeepAlives || !tr.DisableCompression || tr.Protocols.HTTP2() || tr.Protocols.UnencryptedHTTP2() || tr.MaxResponseHeaderBytes == 0 {
		t.Error("transport may send again, or read without end")
	}
}

// TestNotSentIsProven checks that the class NotSent depends on the body alone, so that it
// is right with any round tripper, and that the body cannot be read afterwards.
func TestNotSentIsProven(t *testing.T) {
	t.Parallel()
	var left io.Reader
	_, err := refresh(t, lookup(t, "generic"), fakeIssuer(func(req *http.Request) (*http.Response, error) {
		left = req.Body
		return nil, errors.New("lost")
	}))
	if e := failure(t, err); e.Class != tokens.NotSent {
		t.Errorf("body unread: %v", e.Class)
	}
	if text, err := io.ReadAll(left); len(text) > 0 || err == nil {
		t.Errorf("sealed body still gave %d bytes", len(text))
	}
	_, err = refresh(t, lookup(t, "generic"), fakeIssuer(func(req *http.Request) (*http.Response, error) {
		req.Body.Read(make([]byte, 1))
		return nil, errors.New("lost")
	}))
	if e := failure(t, err); e.Class != tokens.Ambiguous {
		t.Errorf("one byte read: %v", e.Class)
	}
}

// TestUnsendable checks that an invalid request is not sent.
func TestUnsendable(t *testing.T) {
	t.Parallel()
	refuse := fakeIssuer(func(*http.Request) (*http.Response, error) {
		t.Error("something was sent")
		return nil, io.EOF
	})
	check := func(name string, err error) {
		t.Helper()
		if e := failure(t, err); e.Class != tokens.NotSent {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := config(lookup(t, "socialboards"), "https://issuer.example")
	c.Transport = refuse
	_, err := byPassword(issuer.New(c))
	check("password at socialboards", err)
	_, err = byExchange(issuer.New(c))
	check("code at socialboards", err)
	for _, u := range []string{"", "token", "ftp://issuer.example/", "https://", "https://\x7f/" + refreshToken} {
		c.Dialect.TokenURL = u
		_, err := byRefresh(issuer.New(c))
		check("token URL "+u, err)
	}
	c = config(lookup(t, "openticket"), "https://issuer.example")
	c.Transport = refuse
	_, err = issuer.New(c).Refresh(context.Background(), secret.New("\xff"))
	check("not UTF-8", err)
}

func TestCancelledBefore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := client(lookup(t, "generic"), "http://127.0.0.1:1").Refresh(ctx, secret.New(refreshToken))
	if e := failure(t, err); e.Class != tokens.NotSent || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v: %v", e.Class, err)
	}
}

func TestAuthorizeURL(t *testing.T) {
	t.Parallel()
	const callback, state, challenge = "http://127.0.0.1:8085/callback?x=1&y=2", "the state/", "the-challenge"
	ask := func(d dialect.Dialect) url.Values {
		t.Helper()
		u, err := url.Parse(client(d, "").AuthorizeURL(callback, state, challenge))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := u.Scheme+"://"+u.Host+u.Path, "https://auth.openticket.tech/tokens/authorize"; got != want {
			t.Errorf("URL is %s, want %s", got, want)
		}
		q := u.Query()
		if q.Get("redirect_uri") != callback || q.Get("state") != state || q.Get("client_id") != clientID || q.Get("response_type") != "code" {
			t.Errorf("query is %q", u.RawQuery)
		}
		return q
	}
	d := lookup(t, "openticket")
	if q := ask(d); len(q) != 4 {
		t.Errorf("openticket knows four parameters, not %v", q)
	}
	d.PKCE, d.AuthorizeURL = true, d.AuthorizeURL+"?scope=openid"
	if q := ask(d); q.Get("code_challenge") != challenge || q.Get("code_challenge_method") != "S256" || q.Get("scope") != "openid" {
		t.Errorf("query is %v", q)
	}
	c := config(d, "")
	c.Scope = "openid offline_access"
	if u, err := url.Parse(issuer.New(c).AuthorizeURL(callback, state, challenge)); err != nil ||
		u.Query()["scope"][0] != c.Scope || len(u.Query()["scope"]) != 1 {
		t.Errorf("scope is %q, %v", u.Query()["scope"], err)
	}
	if u := client(lookup(t, "ticketpark"), "").AuthorizeURL(callback, state, challenge); u != "" {
		t.Errorf("ticketpark has an authorize URL: %s", u)
	}
}

// TestObtainedIsMonotonic checks that a clock that jumps does not move the next refresh.
func TestObtainedIsMonotonic(t *testing.T) {
	t.Parallel()
	var sent time.Time
	g, err := refresh(t, lookup(t, "generic"), fakeIssuer(func(req *http.Request) (*http.Response, error) {
		sent = time.Now()
		return answering(200, nil, `{"access_token":"a","expires_in":60}`)(req)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if g.Obtained.After(sent) {
		t.Error("obtained after the request was sent")
	}
	for _, at := range []time.Time{g.Obtained, g.Expiry} {
		if at == at.Round(0) {
			t.Errorf("%v has no monotonic reading", at)
		}
	}
}
