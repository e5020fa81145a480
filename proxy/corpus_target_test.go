package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"ticketproxy/proxy"
)

func TestMethodsGoThrough(t *testing.T) {
	var rows []row
	for _, method := range []string{
		"GET", "OPTIONS", "DELETE", "get", "Get", "PURGE", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "QUERY", "LINK", "UNLINK",
		"TRACK", "trace", "Connect", "DEBUG", "BREW", "M-SEARCH", "X!#$%&'*+-.^_`|~9", "A", strings.Repeat("M", 5000),
	} {
		rows = append(rows, row{name: fmt.Sprintf("%.40s", method), raw: method + " /a HTTP/1.1\r\n" + local, want: "200", seen: sent(method + " /a")})
	}
	for _, line := range []string{"CONNECT localhost:443", "CONNECT evil.example:443", "CONNECT localhost", "CONNECT /a", "CONNECT *", "CONNECT http://localhost/", "CONNECT //evil.example/", "TRACE /a", "TRACE *", "TRACE http://localhost/a"} {
		rows = append(rows, row{name: line, raw: line + " HTTP/1.1\r\n" + local, want: "405 method_not_allowed"})
	}
	rows = append(rows,
		row{name: "CONNECT, and what would go through the tunnel", raw: "CONNECT localhost:443 HTTP/1.1\r\n" + local + "GET /b HTTP/1.1\r\n" + local, want: "405 method_not_allowed, 200", seen: sent("GET /b")},
		row{name: "CONNECT without a Host", raw: "CONNECT localhost:443 HTTP/1.1\r\n\r\n", want: "405 method_not_allowed"},
		row{name: "CONNECT with a body", raw: "CONNECT localhost:443 HTTP/1.1\r\nContent-Length: 4\r\n" + local + "body", want: "405 method_not_allowed"},
	)
	for _, method := range []string{"", " ", "G T", "G\tT", "G@T", "G(T", "G/T", "G\x00T", "G\xffT", "G\u00e4T", `"GET"`, "GET,", "\rGET", "\x16\x03\x01"} {
		rows = append(rows, row{name: fmt.Sprintf("%q", method), raw: method + " /a HTTP/1.1\r\n" + local, want: "400 bad_request, close"})
	}
	corpus(t, rows)
}

func TestVersions(t *testing.T) {
	rows := []row{
		{name: "1.0", raw: "GET /a HTTP/1.0\r\n" + local, want: "200, close", seen: sent("GET /a")},
		{name: "1.0 with keep-alive", raw: "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n" + local, want: "200", seen: sent("GET /a")},
		{name: "1.0 with a body", raw: "POST /a HTTP/1.0\r\nContent-Length: 4\r\n" + local + "body", want: "200, close", seen: sent("POST /a", "Content-Length: 4", auth) + "body"},
		{name: "1.2", raw: "GET /a HTTP/1.2\r\n" + local, want: "200", seen: sent("GET /a")},
		{name: "1.9", raw: "GET /a HTTP/1.9\r\n" + local, want: "200", seen: sent("GET /a")},
		{name: "preface of HTTP/2", raw: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", want: "505 not_implemented, close"},
		{name: "PRI in HTTP/1.1", raw: "PRI * HTTP/1.1\r\n" + local, want: "200", seen: sent("PRI *")},
		{name: "TLS", raw: "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n", want: "400 bad_request, close"},
		{name: "PROXY protocol", raw: "PROXY TCP4 1.2.3.4 127.0.0.1 1 80\r\nGET / HTTP/1.1\r\n" + local, want: "400 bad_request, close"},
		{name: "SMTP", raw: "EHLO localhost\r\n\r\n", want: "400 bad_request, close"},
		{name: "0.9, a path alone", raw: "GET /a\r\n\r\n", want: "400 bad_request, close"},
		{name: "an empty line first", raw: "\r\nGET /a HTTP/1.1\r\n" + local, want: "400 bad_request, close"},
		{name: "an empty line alone", raw: "\r\n\r\n", want: "400 bad_request, close"},
		{name: "nothing", raw: "\r", want: "waits"},
	}
	for want, versions := range map[string][]string{
		"505 not_implemented, close": {"HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/0.0", "HTTP/9.9"},
		"400 bad_request, close":     {"http/1.1", "HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/11", "HTTP/1.10", "HTTP/01.1", "HTTP/1.01", "HTTP/1,1", "HTTP/-1.1", "HTTP/+1.1", "HTTP/1.x", "HTTP 1.1", "HTTP/1.1 ", " HTTP/1.1", "HTTP/1.1 x", "HTTP/1.1\t", "HTTP/1.1\r", "HTTP/1.1\x00", "HTTPS/1.1", "ICY/1.1", "HTTP/2", "HTTP"},
	} {
		for _, version := range versions {
			rows = append(rows, row{name: fmt.Sprintf("%q", version), raw: "GET /a " + version + "\r\n" + local, want: want})
		}
	}
	corpus(t, rows)
}

// Path and query go out byte for byte. An invalid target is refused.
func TestTargetsGoThrough(t *testing.T) {
	var rows []row
	for _, target := range []string{
		"/", "//", "///", "/a/", "/a//b/", "/./", "/.", "/..", "/../", "/a/../b", "/a/./b", "/a/..", "/../../etc/passwd", "/%2e%2e/", "/%2E%2E/", "/%2e./", "/..%2f", "/..%2F..%2f", "/a%2f..%2fb", "/..;/", "/..;a=b/", "/a;b=c/d",
		"/%00", "/%0d%0aX:1", "/%20", "/%7F", "/%ff", "/%C3%A4", "/%c3%a4", "/%25", "/%252e%252e/", "/%2525", "/%41", "/%61", "/%2B+",
		"/a\\b", "/a\\..\\b", "/%5c", "/%5C..%5c", "/a|b", "/a^b", "/a`b", "/{a}", "/<a>", `/"a"`, "/[a]", "/a'b", "/a(b)", "/a*b", "/*", "/a:b", "/a@b", "/a=b&c", "/a$b", "/a,b", "/a!b", "/~a", "/a#b", "/a%23b", "/a|b%2Fc", "/a%2Fb|",
		"/\u00e4", "/\xff", "/\xc3", "/\u00e4%2F", "/\U0001f39f", "/http://evil.example/", "//evil.example/", "//evil.example/a|b", "//user@evil.example:80/", "/.well-known/x", "/a.b.c", "/...", "/@evil.example", "/:80",
		"/?", "/??", "/?a", "/?a=", "/?=a", "/?&", "/?&&a=1&&&", "/?a=1&a=1", "/?a=b?c=d", "/?/..", "/?a;b", "/?a=1;b=2", "/?;", "/?%", "/?%zz", "/?%1", "/?a=%zz&b", "/?+%20+", "/?#", "/?a#b", "/?a#b?c", "/?\u00e4", "/?\xff",
		"/?filters[a][_comp]=gt&filters[a][_value]=2024-01-01T00:00:00%2B01:00", "/?{}|\\^`\"<>", "/?a=http://evil.example/", "/?%00", "/?%0d%0a", "/?access_token=x", "/?Authorization=Bearer+x", "/a?b=c/../../d", "//?", "//a|?b|",
		"*", "/" + strings.Repeat("a/", 50_000), "/?" + strings.Repeat("a=1&", 15_000),
	} {
		seen := sent("GET " + target)
		if strings.HasPrefix(target, "//") && strings.Contains(target, "|") { // would be taken for a host
			seen = sent("GET http://api.test" + target)
		}
		rows = append(rows, row{name: fmt.Sprintf("%.60q", target), raw: "GET " + target + " HTTP/1.1\r\n" + local, want: "200", seen: seen, once: len(target) > 10_000})
	}
	for _, target := range []string{
		"", "a", "a/b", "?a", "#a", "*a", "*?a", "**", "localhost", "localhost:80", "localhost/a", "evil.example:443", ":80", "[::1]", "\\a", "../a", "./a", "%2fa",
		"/%", "/%z", "/%zz", "/%1", "/a%g0b", "/%u0041", "/a b", "/a\tb", "/a\x01", "/a\x00b", "/a\x1f", "/a\x7f", "/a\rb", "/?a b", "/?a\x00", "/?a\x7f", "/?a\rb",
		"http://localhost:a/", "http://[::1/", "http://local host/", "http://localhost%zz/", "http://a b@localhost/", "http://localhost/%zz", "http://%6cocalhost/", "1http://localhost/", "://localhost/", "http//localhost/",
	} {
		want := "400 bad_request, close"
		if target == "localhost:80" || target == "evil.example:443" { // which could be a URL with a scheme
			want = "421 host_not_allowed"
		}
		rows = append(rows, row{name: fmt.Sprintf("%q", target), raw: "GET " + target + " HTTP/1.1\r\n" + local, want: want})
	}
	rows = append(rows,
		row{name: "too long a path", raw: "GET /" + strings.Repeat("a", 2<<20) + " HTTP/1.1\r\n" + local, want: "431 header_too_large, close", once: true},
		row{name: "too long a query", raw: "GET /?" + strings.Repeat("a", 2<<20) + " HTTP/1.1\r\n" + local, want: "431 header_too_large, close", once: true},
		row{name: "options of the server", raw: "OPTIONS * HTTP/1.1\r\n" + local, want: "200", seen: sent("OPTIONS *")},
	)
	corpus(t, rows)
}

// An absolute form names its host itself (RFC 9112, section 3.2.2). The host must be
// allowed as a Host must, and the target goes out as a path.
func TestAbsoluteForms(t *testing.T) {
	var rows []row
	for target, out := range map[string]string{
		"http://localhost/a":                    "/a",
		"http://localhost:8080/a?b=c;d":         "/a?b=c;d",
		"HTTP://LOCALHOST/a":                    "/a",
		"http://127.0.0.1/a":                    "/a",
		"http://[::1]:80/a":                     "/a",
		"http://localhost":                      "/",
		"http://localhost?a=b":                  "/?a=b",
		"http://localhost?":                     "/?",
		"http://localhost/":                     "/",
		"http://localhost/a%2Fb":                "/a%2Fb",
		"http://localhost/a|b%2Fc":              "/a|b%2Fc",
		"http://localhost/a|b":                  "/a|b",
		"http://localhost/\u00e4":               "/\u00e4",
		"http://localhost/../a":                 "/../a",
		"http://localhost//a":                   "//a",
		"http://localhost//evil.example/":       "//evil.example/",
		"http://localhost/http://evil.example/": "/http://evil.example/",
		"http://localhost/a#b":                  "/a#b",
		"http://localhost/a?b?c#d":              "/a?b?c#d",
		"http://localhost/@evil.example":        "/@evil.example",
	} {
		rows = append(rows, row{name: target, raw: "GET " + target + " HTTP/1.1\r\nHost: evil.example\r\n\r\n", want: "200", seen: sent("GET " + out)})
	}
	for _, target := range []string{
		"https://localhost/a", "ws://localhost/a", "http://user:pw@localhost/a", "http://evil.example@localhost/a",
		"http://evil.example/a", "https://evil.example/a", "http://evil.example:80", "http://localhost@evil.example/a", "http://localhost:pw@evil.example/", "http://localhost.evil.example/", "http://169.254.169.254/latest/", "http://api.test/a",
		"http://2130706433/", "http:evil.example/a", "http:localhost/a", "a:http://localhost/", "mailto:a@localhost", "localhost:a", "http:/a", "http:///a", "http:", "http://", "http://:80/", "http://@/a", "javascript:1", "file:///etc/passwd", "gopher://evil.example/a",
	} {
		rows = append(rows, row{name: target, raw: "GET " + target + " HTTP/1.1\r\n" + local, want: "421 host_not_allowed"})
	}
	corpus(t, rows)
}

// Where a base path or a prefix confines an app, a path that any server might read as
// leaving it is refused.
func TestConfinedTargets(t *testing.T) {
	based := func(w *fixture) { w.upstream.URL = parse(w, "http://api.test/v3/") }
	prefixed := func(w *fixture) { w.upstream.Prefix = "/park" }
	both := func(w *fixture) { based(w); prefixed(w) }
	var rows []row
	for target, below := range map[string]string{
		"/park": "/", "/park/": "/", "/park?a=b": "/?a=b", "/park//": "//", "/park//evil.example/": "//evil.example/", "/park/a%2Fb;c": "/a%2Fb;c", "/park/a|b": "/a|b", "/park/a...b/..c/d..": "/a...b/..c/d..", "/park/a?b=/../..": "/a?b=/../..", "/park/%41": "/%41", "/park/?": "/?", "/park/park/a": "/park/a", "/park/\u00e4%2F": "/\u00e4%2F",
		"http://localhost/park/a": "/a",
	} {
		whole, _ := strings.CutPrefix(target, "http://localhost")
		raw := "GET " + target + " HTTP/1.1\r\n" + local
		single := below
		if strings.HasPrefix(below, "//") && strings.Contains(below, "|") {
			single = "http://api.test" + below
		}
		rows = append(rows,
			row{name: target + ", based", setup: based, raw: raw, want: "200", seen: sent("GET /v3" + whole)},
			row{name: target + ", prefixed", setup: prefixed, raw: raw, want: "200", seen: sent("GET " + single)},
			row{name: target + ", both", setup: both, raw: raw, want: "200", seen: sent("GET /v3" + below)},
		)
	}
	for _, path := range []string{
		"/.", "/..", "/./", "/../", "/../x", "/a/../../x", "/a/./x", "/%2e%2e/x", "/%2E%2E/x", "/.%2e/x", "/%2e./x", "/%2e", "/..%2fx", "/..%2Fx", "/a%2f..%2f..%2fx", "/..\\x", "/a\\..\\x", "/..%5cx", "/..%5Cx", "/%5c..%5cx",
		"/..;/x", "/..;a=b/x", "/..%3b/x", "/;/../x", "/%252e%252e/x", "/%25252e%25252e/x", "/%2525252e/x", "/..%252fx", "/..?a=b", "/a/..", "/a/%2e%2e", "/..;", "//../x", "/a//..//../x",
	} {
		raw := "GET /park" + path + " HTTP/1.1\r\n" + local
		rows = append(rows,
			row{name: path + ", based", setup: based, raw: raw, want: "400 bad_path"},
			row{name: path + ", prefixed", setup: prefixed, raw: raw, want: "400 bad_path"},
			row{name: path + ", absolute", setup: both, raw: "GET http://localhost/park" + path + " HTTP/1.1\r\n" + local, want: "400 bad_path"},
		)
	}
	for _, target := range []string{"/", "/parking", "/Park", "/PARK/a", "//park/a", "/p%61rk/a", "/%70ark", "/park%2fa", "/park%2Fa", "/park;a/b", "/park\\a", "/./park/a", "/a/../park/b", "*", "http://localhost/a", "http://localhost", "http://localhost//park/a"} {
		rows = append(rows, row{name: target + ", prefixed", setup: prefixed, raw: "OPTIONS " + target + " HTTP/1.1\r\n" + local, want: "404 no_such_upstream"})
	}
	rows = append(rows, row{name: "options of the server, based", setup: based, raw: "OPTIONS * HTTP/1.1\r\n" + local, want: "200", seen: sent("OPTIONS *")})
	corpus(t, rows)
}

// Upstreams that share a listener are told apart by the host of the request, which is
// in Host or in an absolute form.
func TestTargetsByHost(t *testing.T) {
	shared := func(w *fixture) {
		w.guard.Hosts = []string{"shop.local", "other.local"}
		w.others = append(w.others, proxy.UpstreamConfig{Name: "shop", URL: parse(w, "http://shop.test"), Host: "shop.local", Source: w.source, Transport: w.upstream.Transport})
	}
	atShop := func(line string) string { return strings.Replace(sent(line), "api.test", "shop.test", 1) }
	corpus(t, []row{
		{name: "its own", setup: shared, raw: "GET /a HTTP/1.1\r\nHost: shop.local\r\n\r\n", want: "200", seen: atShop("GET /a")},
		{name: "its own, spelled otherwise", setup: shared, raw: "GET /a HTTP/1.1\r\nHost: SHOP.Local.:8080\r\n\r\n", want: "200", seen: atShop("GET /a")},
		{name: "another of ours", setup: shared, raw: "GET /a HTTP/1.1\r\nHost: other.local\r\n\r\n", want: "200", seen: sent("GET /a")},
		{name: "loopback", setup: shared, raw: "GET /a HTTP/1.1\r\n" + local, want: "200", seen: sent("GET /a")},
		{name: "none of ours", setup: shared, raw: "GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n", want: "421 host_not_allowed"},
		{name: "of an absolute form", setup: shared, raw: "GET http://shop.local/a HTTP/1.1\r\n" + local, want: "200", seen: atShop("GET /a")},
		{name: "of an absolute form, not of Host", setup: shared, raw: "GET http://localhost/a HTTP/1.1\r\nHost: shop.local\r\n\r\n", want: "200", seen: sent("GET /a")},
		{name: "three in one write", setup: shared, raw: "GET /a HTTP/1.1\r\nHost: shop.local\r\n\r\nGET /b HTTP/1.1\r\n" + local + "GET //a|b HTTP/1.1\r\nHost: shop.local\r\n\r\n", want: "200, 200, 200", seen: atShop("GET /a") + sent("GET /b") + atShop("GET http://shop.test//a|b"), once: true},
		{name: "cookies, which are dropped", setup: shared, raw: "GET /a HTTP/1.1\r\nHost: shop.local\r\nCookie: a=b\r\n\r\n", want: "200", seen: atShop("GET /a")},
	})
}

// A parameter that would be a second token is dropped, and nothing else.
func TestTokensInTheQuery(t *testing.T) {
	park := func(w *fixture) { w.upstream.DropQuery = []string{"access_token"} }
	var rows []row
	for query, out := range map[string]string{
		"?access_token=x": "", "?access_token": "", "?a=b&access_token=x&c[d]=e;f": "?a=b&c[d]=e;f", "?access_token=x&access_token=y": "", "?ACCESS_Token=x&a": "?ACCESS_Token=x&a", "?access%5ftoken=x&a": "?a", "?%61ccess_token=x&%zz": "?%zz",
		"?a=access_token=x": "?a=access_token=x", "?my_access_token=x": "?my_access_token=x", "?": "?", "?a=%zz&&b": "?a=%zz&&b", "??access_token=x": "??access_token=x",
	} {
		rows = append(rows, row{name: query, setup: park, raw: "GET /a" + query + " HTTP/1.1\r\n" + local, want: "200", seen: sent("GET /a" + out)})
	}
	corpus(t, rows)
}
