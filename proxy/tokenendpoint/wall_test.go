package tokenendpoint_test

import (
	"net/http"
	"strings"
	"testing"

	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/tokenendpoint"
)

// Each is the header of a request that a browser sends, or came through a forwarder. Those of
// Chromium are as Chromium 150 writes them.
func TestWall(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ code, header string }{
		{"cross_site", "Origin: https://example.com"},
		{"cross_site", "Origin: null"},
		{"cross_site", "Origin: http://127.0.0.1:8082"},
		{"cross_site", "Origin: http://localhost:3000"},
		{"cross_site", "Origin: "},
		{"cross_site", "Sec-Fetch-Site: none"},
		{"cross_site", "Sec-Fetch-Site: same-origin"},
		{"cross_site", "Sec-Fetch-Site: same-site"},
		{"cross_site", "Sec-Fetch-Site: cross-site"},
		{"cross_site", "Sec-Fetch-Site: "},
		{"cross_site", "Sec-Fetch-Mode: navigate"},
		{"cross_site", "Sec-Fetch-Mode: no-cors"},
		{"cross_site", "Sec-Fetch-Mode: Cors"},
		{"cross_site", "Sec-Fetch-Mode: cors|Sec-Fetch-Mode: cors"},
		{"cross_site", "Sec-Fetch-Mode: cors|Sec-Fetch-Site: same-origin"},
		{"cross_site", "Sec-Fetch-Mode: cors|Sec-Fetch-Dest: empty"},
		{"cross_site", "Sec-Fetch-Dest: document"},
		{"cross_site", "Sec-Fetch-User: ?1"},
		{"cross_site", "Sec-Fetch-Storage-Access: active"},
		{"cross_site", "sec_fetch_site: none"},
		{"cross_site", "Sec-Purpose: prefetch;prerender"},
		{"cross_site", "Sec-GPC: 1"},
		{"cross_site", `Sec-CH-UA: "Chromium";v="150"`},
		{"cross_site", "Sec-CH-UA-Mobile: ?0"},
		{"cross_site", `Sec-CH-UA-Platform: "Linux"`},
		{"cross_site", "Sec-WebSocket-Key: x"},
		{"cross_site", "Purpose: prefetch"},
		{"cross_site", "X-Moz: prefetch"},
		{"cross_site", "Referer: http://localhost:3000/"},
		{"cross_site", "Access-Control-Request-Method: POST"},
		{"cross_site", "Access-Control-Request-Private-Network: true"},
		{"forbidden", "Forwarded: for=10.0.0.1"},
		{"forbidden", "Forwarded: "},
		{"forbidden", "X-Forwarded-For: 10.0.0.1"},
		{"forbidden", "X-Forwarded-Host: example.com"},
		{"forbidden", "X-Forwarded-Proto: https"},
		{"forbidden", "X-Forwarded-Anything: x"},
		{"forbidden", "X-Forwarded: x"},
		{"forbidden", "X_Forwarded_For: 10.0.0.1"},
		{"forbidden", "x-forwarded-for: 10.0.0.1"},
		{"forbidden", "Via: 1.1 example"},
		{"forbidden", "X-Real-IP: 10.0.0.1"},
		{"forbidden", "X-Envoy-External-Address: 10.0.0.1"},
		{"forbidden", "True-Client-IP: 10.0.0.1"},
		{"forbidden", "CF-Connecting-IP: 10.0.0.1"},
		{"forbidden", "X-Original-URL: /token/park"},
		{"forbidden", "Proxy-Connection: keep-alive"},
		{"forbidden", "CDN-Loop: example"},
		{"forbidden", "Max-Forwards: 10"},
		{"forbidden", "Fastly-Client-IP: 10.0.0.1"},
		{"forbidden", "X-ProxyUser-Ip: 10.0.0.1"},
	} {
		for _, withKeys := range []bool{false, true} {
			f := newFixture(func(c *tokenendpoint.Config) {
				c.Guard.Origins = []string{"https://example.com"} // who may call an API may not have its token
				if withKeys {
					withCallers(c)
				}
			})
			header := append(strings.Split(test.header, "|"), basic("shop", "tpk_shop"))
			for _, r := range []*http.Request{get("/token/park", header...), post("/token/park", "", header...)} {
				f.refuse(t, r, http.StatusForbidden, test.code)
			}
			if len(f.park.least) != 0 {
				t.Errorf("%s: a token was asked for", test.header)
			}
		}
	}
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	f := newFixture()
	r := request(http.MethodOptions, "/token/park", "", "Origin: http://localhost:3000", "Access-Control-Request-Method: GET",
		"Access-Control-Request-Headers: ticketproxy-request", "Sec-Fetch-Mode: cors", "Sec-Fetch-Site: same-site", "Sec-Fetch-Dest: empty")
	f.refuse(t, r, http.StatusForbidden, "cross_site")
}

// Clients that are no browsers get through.
func TestHeadersOfClients(t *testing.T) {
	t.Parallel()
	for _, header := range []string{
		"Sec-Fetch-Mode: cors|Accept-Language: *|User-Agent: node", // fetch of Node.js
		"User-Agent: curl/7.88.1|Accept: */*",
		"Cookie: session=of-another-port", // a client's jar sends it to every port of localhost
		"Accept-Encoding: gzip, deflate, br|Connection: keep-alive",
		"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01|X-Request-Id: 7",
	} {
		newFixture().serve(t, post("/token/park", "", strings.Split(header, "|")...))
	}
}

func TestGetNeedsItsHeader(t *testing.T) {
	t.Parallel()
	for _, header := range []string{
		"Accept: */*", "Ticketproxy-Request: ", "Ticketproxy-Request: false", "Ticketproxy-Request: 1", "Ticketproxy-Request: TRUE",
		"Ticketproxy-Request: true|Ticketproxy-Request: true", "Metadata-Flavor: Google",
	} {
		r := request(http.MethodGet, "/token/park", "", strings.Split(header, "|")...)
		a := newFixture().refuse(t, r, http.StatusForbidden, "forbidden")
		if !strings.Contains(a.text, "Ticketproxy-Request: true") {
			t.Errorf("%s: %s", header, a.text)
		}
	}
}

func TestGuardApplies(t *testing.T) {
	t.Parallel()
	f := newFixture(func(c *tokenendpoint.Config) { c.Guard = &inbound.Guard{Hosts: []string{"tokens.internal"}} })
	for host, served := range map[string]bool{
		"127.0.0.1:8082": true, "localhost": true, "tokens.internal": true, "rebound.example.com": false, "0.0.0.0:8082": false, "": false,
		"127.0.0.1.nip.io": false,
	} {
		r := get("/token/park")
		if r.Host = host; served {
			f.serve(t, r)
		} else {
			f.refuse(t, r, http.StatusMisdirectedRequest, "host_not_allowed")
		}
	}
	r := get("/token/park")
	r.URL.Scheme, r.URL.Host, r.Host = "http", "issuer.example.com", "issuer.example.com" // a client that takes this for its proxy
	f.refuse(t, r, http.StatusMisdirectedRequest, "host_not_allowed")
}
