package proxy_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/secret"
)

func TestUntrustedHeadersAreDropped(t *testing.T) {
	t.Parallel()
	for _, header := range []string{
		"Cookie: a=1", "X_Forwarded_For: 1.2.3.4", "X-Forwarded_Host: h", "X-Forwarded-Port: 1", "X-Real-IP: 1.2.3.4",
		"X_Real_Ip: 1.2.3.4", "Proxy_Authorization: Basic eDp5", "Forwarded: for=1.2.3.4", "Transfer_Encoding: chunked", "Content_Length: 9",
		"Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
	} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			seen := make(chan []string, 1)
			w := beginRaw(t, heads(seen), func(w *fixture) { w.upstream.Cookies = false })
			w.ask("GET / HTTP/1.1\r\nHost: localhost\r\n" + header + "\r\n\r\n")
			got := (<-seen)[1:]
			slices.Sort(got)
			if want := []string{"Authorization: " + bearer(1), "Host: api.test"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestCookiesOfTheAPIPassOnlyIfAllowed(t *testing.T) {
	t.Parallel()
	api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Add("Set-Cookie", "a=1") })
	for _, pass := range []bool{false, true} {
		w := begin(t, api, func(w *fixture) { w.upstream.Cookies = pass })
		res, _ := w.do("GET", "/", nil)
		if got := res.Header.Get("Set-Cookie") != ""; got != pass {
			t.Errorf("cookies pass: %v, want %v", got, pass)
		}
	}
}

func TestAppsThatDoTheirOwnOAuth(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Method + " " + r.URL.Path })
	w := begin(t, api, func(w *fixture) {
		w.upstream.Stub = &proxy.StubTokenEndpoint{Paths: []string{"/oauth/v2/token"}, Body: []byte(`{"access_token":"x"}`)}
	})
	for _, request := range []string{"POST /oauth/v2/token", "POST /oauth/v2/token/", "GET /oauth/v2/token?grant_type=refresh_token&refresh_token=y"} {
		method, target, _ := strings.Cut(request, " ")
		res, body := w.do(method, target, strings.NewReader("grant_type=password&password=p"))
		is(t, "status", res.StatusCode, 200)
		is(t, "answer", body, `{"access_token":"x"}`)
		is(t, "Content-Type", res.Header.Get("Content-Type"), "application/json")
		is(t, "Cache-Control", res.Header.Get("Cache-Control"), "no-store")
	}
	for _, request := range []string{"POST /oauth/v2/tokens", "GET /oauth/v2/token", "GET /oauth/v2/token?a=grant_type"} {
		method, target, _ := strings.Cut(request, " ")
		w.do(method, target, nil)
		path, _, _ := strings.Cut(request, "?")
		is(t, "the API got", <-asked, path)
	}
	if len(asked) > 0 {
		t.Errorf("the API got %s", <-asked)
	}
}

func TestNoSecondTokenGoesOut(t *testing.T) {
	t.Parallel()
	seen := make(chan []string, 1)
	w := beginRaw(t, heads(seen), func(w *fixture) { w.upstream.DropQuery = []string{"access_token"} })
	w.ask("GET /events/?page=0&access_token=secret&filters[a]=b HTTP/1.1\r\nHost: localhost\r\n\r\n")
	is(t, "request line", (<-seen)[0], "GET /events/?page=0&filters[a]=b HTTP/1.1")
}

func TestBasePathCannotBeLeft(t *testing.T) {
	t.Parallel()
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the API got %s", r.RequestURI) })
	for name, change := range map[string]func(*fixture){
		"prefix":    func(w *fixture) { w.upstream.Prefix = "/park" },
		"base path": func(w *fixture) { w.upstream.URL = parse(t, "http://api.test/v3") },
	} {
		w := begin(t, api, change)
		for _, path := range []string{"/park/../x", "/park/%2e%2e/x", "/park/a/..%2f..%2fx", "/park/%252e%252e/x", "/park/.%2E;a/x"} {
			c := w.dial()
			c.send("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
			res := c.receive("GET")
			is(t, name+" "+path, res.StatusCode, 400)
			is(t, "code", res.Header.Get(inbound.ErrorHeader), "bad_path")
		}
	}
}

func TestRedirectIsMappedToTheProxy(t *testing.T) {
	t.Parallel()
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://api.test/events/1", http.StatusFound)
	}), func(w *fixture) { w.upstream.Locations = proxy.LocationRedirects })
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n")
	is(t, "Location", c.receive("GET").Header.Get("Location"), "http://localhost:8080/events/1")
}

func TestPagesOfAllowedOrigins(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Credentials", "false")
		w.Header().Set("X-Page", "1")
	}), func(w *fixture) { w.guard.Origins = []string{"https://app.example"} })
	c := w.dial()
	c.send("OPTIONS /tickets HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: PATCH\r\nAccess-Control-Request-Headers: x-a, content-type\r\n\r\n")
	res := c.receive("OPTIONS")
	is(t, "preflight", res.StatusCode, 204)
	is(t, "origin", res.Header.Get("Access-Control-Allow-Origin"), "https://app.example")
	is(t, "credentials", res.Header.Get("Access-Control-Allow-Credentials"), "true")
	is(t, "methods", res.Header.Get("Access-Control-Allow-Methods"), "PATCH")
	is(t, "headers", res.Header.Get("Access-Control-Allow-Headers"), "x-a, content-type")
	if len(asked) > 0 {
		t.Error("the API got a request")
	}
	c.send("PATCH /tickets HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\nSec-Fetch-Site: cross-site\r\n\r\n")
	res = c.receive("PATCH")
	read(t, res)
	is(t, "the API got", <-asked, "PATCH")
	is(t, "origin", res.Header.Get("Access-Control-Allow-Origin"), "https://app.example")
	is(t, "credentials", res.Header.Get("Access-Control-Allow-Credentials"), "true")
	is(t, "headers to read", res.Header.Get("Access-Control-Expose-Headers"), "Allow, Content-Length, Date, Retry-After, Ticketproxy-Error, X-Page")
	c.send("GET /tickets HTTP/1.1\r\nHost: localhost\r\n\r\n")
	res = c.receive("GET")
	<-asked
	is(t, "origin without a page", res.Header.Get("Access-Control-Allow-Origin"), "*")
}

func TestReflectedTokenIsRedacted(t *testing.T) {
	t.Parallel()
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("X-Echo", "a")
		w.Header().Add("X-Echo", "got "+r.Header.Get("Authorization")+" and "+token(1))
		w.Header().Set("Location", "/next?access_token="+token(1))
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(302)
		w.Write([]byte(token(1)))
		w.Header().Set("X-Sum", token(1))
		w.Header().Set(http.TrailerPrefix+"X-Late", token(1))
	}))
	res, body := w.do("GET", "/", nil)
	is(t, "headers", strings.Join(res.Header["X-Echo"], ", "), "a, got Bearer [redacted] and [redacted]")
	is(t, "Location", res.Header.Get("Location"), "/next?access_token=[redacted]")
	is(t, "body", body, token(1))
	is(t, "trailers", res.Trailer.Get("X-Sum")+", "+res.Trailer.Get("X-Late"), "[redacted], [redacted]")
}

// A header field of an answer that has the token in its name does not reach the app.
func TestTokenInTheNameOfAHeaderIsDropped(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ token, lines string }{
		"the name":           {"access-token-1", "access-token-1: x"},
		"a part of the name": {"access-token-1", "X-Access-Token-1-Expires: x"},
		"another case":       {"aBc.DeF", "ABC.dEf: x\r\nX-abc.def: y"},
		"name and value":     {"id:sEcret:x", "ID:sEcret:x"},
		"within a line":      {"id:sEcret", "X-Id: sEcret and more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := beginRaw(t, answeringOnce("HTTP/1.1 103 Early Hints\r\nX-Good: 1\r\n"+test.lines+"\r\n\r\n"+
				"HTTP/1.1 200 OK\r\nX-Good: 2\r\n"+test.lines+"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Good: 3\r\n"+test.lines+"\r\n\r\n"),
				func(w *fixture) { w.upstream.Source = fixed(test.token) })
			raw := w.raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			is(t, "good headers", strings.Count(raw, "X-Good: "), 3)
			for line := range strings.Lines(raw) {
				bare := strings.ToLower(strings.ReplaceAll(line, ": ", ":"))
				if strings.Contains(bare, strings.ToLower(test.token)) {
					t.Errorf("the app got %q", line)
				}
			}
		})
	}
}

// fixed is a TokenSource with one token.
type fixed string

func (f fixed) Token(context.Context) (proxy.Token, error) {
	return proxy.Token{AccessToken: secret.New(string(f)), Generation: 1}, nil
}

func (f fixed) Renew(ctx context.Context, _ proxy.Token) (proxy.Token, error) { return f.Token(ctx) }

func (fixed) Refused(proxy.Token) {}
