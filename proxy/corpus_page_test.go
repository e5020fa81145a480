package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"ticketproxy/proxy"
)

// A page of another origin gets nothing through, by any method. A page of an allowed
// origin gets everything through but a foreign Host.
func TestPages(t *testing.T) {
	paged := func(w *fixture) { w.guard.Origins = []string{"https://app.example", "http://localhost:3000"} }
	var rows []row
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
		for _, page := range []struct {
			name, header, want string
			setup              func(*fixture)
		}{
			{"without a page", "", "200", nil},
			{"typed address", "Sec-Fetch-Site: none\r\n", "200", nil},
			{"of its own page", "Sec-Fetch-Site: same-origin\r\nOrigin: http://localhost\r\n", "200", nil},
			{"of another port", "Sec-Fetch-Site: same-site\r\n", "403 cross_site", nil},
			{"of another site", "Sec-Fetch-Site: cross-site\r\n", "403 cross_site", nil},
			{"of another origin", "Origin: https://evil.example\r\n", "403 cross_site", nil},
			{"of an origin that is not allowed here", "Origin: https://app.example\r\n", "403 cross_site", nil},
			{"of an allowed origin", "Origin: https://app.example\r\nSec-Fetch-Site: cross-site\r\n", "200", paged},
		} {
			seen := ""
			if page.want == "200" {
				var header []string
				header = append(header, auth)
				for _, name := range []string{"Origin: ", "Sec-Fetch-Site: "} { // in the order in which they go out
					if _, value, found := strings.Cut(page.header, name); found {
						value, _, _ = strings.Cut(value, "\r\n")
						header = append(header, name+value)
					}
				}
				seen = sent(method+" /", header...)
			}
			rows = append(rows, row{name: method + " " + page.name, setup: page.setup, raw: method + " / HTTP/1.1\r\nHost: localhost\r\n" + page.header + "\r\n", want: page.want, seen: seen})
		}
	}
	for _, origin := range []string{
		"null", "", "http://localhost:80", "http://localhost:3001", "https://localhost", "http://localhost.", "http://localhost/", "http://localhost/a", "http://user@localhost", "http://127.0.0.1", "http://evil.example", "file://", "localhost", "//localhost",
		"https://app.example.evil.example", "https://evilapp.example", "http://app.example", "https://app.example:443", "https://app.example:8443", "https://app.example/", "https://app.example.", "https://app.example https://evil.example", "https://app.example, https://evil.example",
		"https://app.example\r\nOrigin: https://evil.example", "https://app.example\r\nOrigin: https://app.example", "http://localhost\r\nOrigin: http://localhost", "https://app.exampl\u00e9", "*", "https://*.example", "https://", "http://", "%68ttp://localhost", "http://localhost\t.evil.example",
	} {
		rows = append(rows, row{name: fmt.Sprintf("Origin %q", origin), setup: paged, raw: get + "Origin: " + origin + "\r\n\r\n", want: "403 cross_site"})
	}
	rows = append(rows,
		row{name: "folded foreign Origin", setup: paged, raw: get + "Origin: https://app.example\r\n .evil.example\r\n\r\n", want: "403 cross_site"},
		row{name: "foreign Origin named in Connection", raw: get + "Connection: Origin\r\nOrigin: https://evil.example\r\n\r\n", want: "403 cross_site"},
		row{name: "foreign Sec-Fetch-Site named in Connection", raw: get + "Connection: Sec-Fetch-Site\r\nSec-Fetch-Site: cross-site\r\n\r\n", want: "403 cross_site"},
		row{name: "own Origin, foreign Sec-Fetch-Site", raw: get + "Origin: http://localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n", want: "403 cross_site"},
		row{name: "foreign Origin, own Sec-Fetch-Site", raw: get + "Origin: https://evil.example\r\nSec-Fetch-Site: same-origin\r\n\r\n", want: "403 cross_site"},
		row{name: "two values of Sec-Fetch-Site", raw: get + "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n\r\n", want: "403 cross_site"},
		row{name: "Sec-Fetch-Site in upper case", raw: get + "SEC-FETCH-SITE: CROSS-SITE\r\n\r\n", want: "403 cross_site"},
		row{name: "prefetched by speculation rules", raw: get + "Sec-Fetch-Site: none\r\nSec-Purpose: prefetch\r\n\r\n", want: "403 cross_site"},
		row{name: "prerendered by speculation rules", raw: get + "Sec-Fetch-Site: none\r\nSec-Purpose: prefetch;prerender\r\n\r\n", want: "403 cross_site"},
		row{name: "prefetched by another browser", raw: get + "X-Moz: Prefetch\r\n\r\n", want: "403 cross_site"},
		row{name: "purpose of an app", raw: get + "Purpose: preview\r\n\r\n", want: "200", seen: sent("GET /", auth, "Purpose: preview")},
		row{name: "as if typed, Referer of another page", raw: get + "Sec-Fetch-Site: none\r\nReferer: https://evil.example/a\r\n\r\n", want: "403 cross_site"},
		row{name: "from our own page", raw: get + "Sec-Fetch-Site: same-origin\r\nReferer: http://localhost/a\r\n\r\n", want: "200", seen: sent("GET /", auth, "Referer: http://localhost/a", "Sec-Fetch-Site: same-origin")},
		row{name: "from an allowed page", setup: paged, raw: get + "Sec-Fetch-Site: none\r\nReferer: https://app.example/a\r\n\r\n", want: "200", seen: sent("GET /", auth, "Referer: https://app.example/a", "Sec-Fetch-Site: none")},
		row{name: "Referer of an app", raw: get + "Referer: https://shop.example/a\r\n\r\n", want: "200", seen: sent("GET /", auth, "Referer: https://shop.example/a")},
		row{name: "unknown Sec-Fetch-Site", raw: get + "Sec-Fetch-Site: next-door\r\n\r\n", want: "403 cross_site"},
		row{name: "own Origin of an absolute form", raw: "GET http://localhost:8080/ HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://localhost:8080\r\n\r\n", want: "200", seen: sent("GET /", auth, "Origin: http://localhost:8080")},
		row{name: "own Origin with the listener's port", raw: "GET / HTTP/1.1\r\nHost: localhost:8080\r\nOrigin: http://LOCALHOST:8080\r\n\r\n", want: "200", seen: sent("GET /", auth, "Origin: http://LOCALHOST:8080")},
		row{name: "own Origin with DNS rebinding", raw: "GET / HTTP/1.1\r\nHost: evil.example:8080\r\nOrigin: http://evil.example:8080\r\nSec-Fetch-Site: same-origin\r\n\r\n", want: "421 host_not_allowed"},
		row{name: "allowed Origin with DNS rebinding", setup: paged, raw: "GET / HTTP/1.1\r\nHost: evil.example\r\nOrigin: https://app.example\r\n\r\n", want: "421 host_not_allowed"},
		row{name: "allowed Origin in upper case", setup: paged, raw: get + "Origin: HTTPS://APP.EXAMPLE\r\n\r\n", want: "200", seen: sent("GET /", auth, "Origin: HTTPS://APP.EXAMPLE")},
		row{name: "a form of a foreign page", raw: post + "Origin: https://evil.example\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbody", want: "403 cross_site"},
		row{name: "a form of a foreign page, chunked", raw: post + "Origin: https://evil.example\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", want: "403 cross_site"},
		row{name: "a beacon of a sandboxed page", raw: post + "Origin: null\r\nContent-Length: 0\r\n\r\n", want: "403 cross_site"},
		row{name: "preflight of an allowed page", setup: paged, raw: "OPTIONS /a HTTP/1.1\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: authorization\r\n" + local, want: "204"},
		row{name: "preflight for a private network", setup: paged, raw: "OPTIONS /a HTTP/1.1\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Private-Network: true\r\n" + local, want: "204"},
		row{name: "preflight of a foreign page", setup: paged, raw: "OPTIONS /a HTTP/1.1\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: PUT\r\n" + local, want: "403 cross_site"},
		row{name: "OPTIONS of an allowed page, no preflight", setup: paged, raw: "OPTIONS /a HTTP/1.1\r\nOrigin: https://app.example\r\n" + local, want: "200", seen: sent("OPTIONS /a", auth, "Origin: https://app.example")},
		row{name: "OPTIONS of an app that looks like a preflight", raw: "OPTIONS /a HTTP/1.1\r\nAccess-Control-Request-Method: PUT\r\n" + local, want: "200", seen: sent("OPTIONS /a", "Access-Control-Request-Method: PUT", auth)},
	)
	corpus(t, rows)
}

// Requests to the token path may hold credentials, and do not go out.
func TestTokenPathIsAnsweredHere(t *testing.T) {
	stub := func(w *fixture) {
		w.upstream.Stub = &proxy.StubTokenEndpoint{Paths: []string{"/oauth/v2/token"}, Body: []byte(`{"access_token":"x"}`)}
	}
	const form = "Content-Length: 24\r\n\r\ngrant_type=password&u=pw"
	ask := func(line string) string { return line + " HTTP/1.1\r\nHost: localhost\r\n" + form }
	passed := func(line string) string {
		return sent(line, "Content-Length: 24", auth) + "grant_type=password&u=pw"
	}
	corpus(t, []row{
		{name: "plain", setup: stub, raw: ask("POST /oauth/v2/token"), want: "200"},
		{name: "with a query", setup: stub, raw: ask("POST /oauth/v2/token?a=b"), want: "200"},
		{name: "with slashes", setup: stub, raw: ask("POST //oauth///v2/token/"), want: "200"},
		{name: "encoded", setup: stub, raw: ask("POST /oauth%2Fv2/%74oken"), want: "200"},
		{name: "encoded twice", setup: stub, raw: ask("POST /oauth/v2/%2574oken"), want: "200"},
		{name: "encoded three times", setup: stub, raw: ask("POST /oauth%25252fv2/token"), want: "200"},
		{name: "with a NUL", setup: stub, raw: ask("POST /oauth/v2/token%00.html"), want: "200"},
		{name: "with a line break", setup: stub, raw: ask("POST /oauth/v2/token%0d%0a"), want: "200"},
		{name: "with spaces", setup: stub, raw: ask("POST /oauth/%20v2/token%20"), want: "200"},
		{name: "with an encoded query", setup: stub, raw: ask("POST /oauth/v2/token%3fa=b"), want: "200"},
		{name: "with an encoded fragment", setup: stub, raw: ask("POST /oauth/v2/token%23a"), want: "200"},
		{name: "with dots at the end", setup: stub, raw: ask("POST /oauth/v2./token..."), want: "200"},
		{name: "with a suffix", setup: stub, raw: ask("POST /oauth/v2/token.json"), want: "200", seen: passed("POST /oauth/v2/token.json")},
		{name: "with a space within", setup: stub, raw: ask("POST /oauth/v2/to%20ken"), want: "200", seen: passed("POST /oauth/v2/to%20ken")},
		{name: "with three dots", setup: stub, raw: ask("POST /oauth/.../v2/token"), want: "200"},
		{name: "with a fragment", setup: stub, raw: ask("POST /oauth/v2/token#f"), want: "200"},
		{name: "within a fragment", setup: stub, raw: ask("POST /a#/../oauth/v2/token"), want: "200", seen: passed("POST /a#/../oauth/v2/token")},
		{name: "with a parameter", setup: stub, raw: ask("POST /oauth/v2/token;a=b"), want: "200"},
		{name: "with a session parameter", setup: stub, raw: ask("POST /oauth;jsessionid=1/v2/token"), want: "200"},
		{name: "below it, with a parameter", setup: stub, raw: ask("POST /oauth/v2/token;v=1/revoke"), want: "200", seen: passed("POST /oauth/v2/token;v=1/revoke")},
		{name: "with backslashes", setup: stub, raw: ask(`POST /oauth\v2\token`), want: "200"},
		{name: "in upper case", setup: stub, raw: ask("POST /OAuth/V2/Token"), want: "200"},
		{name: "with dot segments", setup: stub, raw: ask("POST /a/../oauth/./v2/%2e/token"), want: "200"},
		{name: "by GET, encoded", setup: stub, raw: "GET /oauth/v2/token?grant%5Ftype=password HTTP/1.1\r\n" + local, want: "200"},
		{name: "by GET", setup: stub, raw: "GET /oauth/v2/token?grant_type=password HTTP/1.1\r\n" + local, want: "200"},
		{name: "in an absolute form", setup: stub, raw: ask("POST http://localhost/oauth/v2/token"), want: "200"},
		{name: "chunked, then a request", setup: stub, raw: "POST /oauth/v2/token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + local + "3\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\n" + local, want: "200, 200", seen: sent("GET /b")},
		{name: "from a foreign page", setup: stub, raw: strings.Replace(ask("POST /oauth/v2/token"), "Host", "Origin: https://evil.example\r\nHost", 1), want: "403 cross_site"},
		{name: "to a foreign Host", setup: stub, raw: strings.Replace(ask("POST /oauth/v2/token"), "localhost", "evil.example", 1), want: "421 host_not_allowed"},
		{name: "another path", setup: stub, raw: ask("POST /oauth/v2/tokens"), want: "200", seen: passed("POST /oauth/v2/tokens")},
		{name: "by PUT", setup: stub, raw: ask("PUT /oauth/v2/token"), want: "200", seen: passed("PUT /oauth/v2/token")},
	})
}
