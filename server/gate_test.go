package server

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

const gateFile = `
callers:
  shop:
    keys: [KEY(shop)]
    may: [{upstream: park, methods: [GET], paths: [/events/**]}]
  fast:
    keys: [KEY(fast)]
    may: [{upstream: park}]
    rate: {per: minute, requests: 2, burst: 2}
  trial: {keys: [KEY(trial)], may: [{upstream: park, warn: true}]}
  other: {keys: [KEY(other)], may: [{upstream: shop}]}
limits:
  park: {heed: true}
  shop: {concurrent: 1}
`

// TestGate tests who may, and what is told to who may not.
func TestGate(t *testing.T) {
	withGateway(t, gateFile, nil, func(g *gateway) {
		g.expect("shop", "GET", "/park/events/7", 200, "")
		g.expect("shop", "HEAD", "/park/events/7", 200, "")
		for _, refused := range []struct{ name, method, target, why string }{
			{"shop", "POST", "/park/events/7", "is for GET"},
			{"shop", "GET", "/park/orders", "/events/**"},
			{"shop", "GET", "/park/events/%2e%2e/orders", ""},
			{"shop", "GET", "/park//events/7", ""},
			{"shop", "GET", "/park/Events/7", ""},
			{"shop", "GET", "/shop/events/7", "its rules are for other upstreams"},
		} {
			res, text := g.ask(refused.name, refused.method, refused.target)
			if res.StatusCode/100 != 4 || !strings.Contains(text, refused.why) {
				t.Errorf("%s %s: %d %s", refused.method, refused.target, res.StatusCode, text)
			}
		}
		if g.passed() != 2 {
			t.Errorf("the API got %q", g.api)
		}
		res, text := g.ask("", "GET", "/park/events/7")
		if res.StatusCode != 401 || len(res.Header["Www-Authenticate"]) != 2 || !strings.Contains(text, "proves no caller") {
			t.Errorf("without a proof: %d %v %s", res.StatusCode, res.Header["Www-Authenticate"], text)
		}
		g.expect("", "GET", "/nowhere", 401, "unauthenticated")
		g.expect("shop", "GET", "/nowhere", 404, "no_such_upstream")
		g.wantMetric(`ticketproxy_denied_total{caller="",reason="unauthenticated"} 2`)
		g.wantMetric(`ticketproxy_denied_total{caller="shop",reason="method"} 1`)
		g.wantMetric(`ticketproxy_requests_total{caller="shop",code="200",method="GET",upstream="park"} 1`)
	})
}

// TestGateLimits tests rates, limits of accounts, and the pause that an API asks for.
func TestGateLimits(t *testing.T) {
	withGateway(t, gateFile, nil, func(g *gateway) {
		g.expect("fast", "GET", "/park/a", 200, "")
		g.expect("fast", "GET", "/park/a", 200, "")
		res, text := g.ask("fast", "GET", "/park/a")
		wait := res.Header.Get("Retry-After") // 30 where an answer was flushed by a timer meanwhile
		if res.StatusCode != 429 || wait != "31" && wait != "30" || !strings.Contains(text, "2 requests per minute") {
			t.Errorf("above the rate: %d, Retry-After %s, %s", res.StatusCode, wait, text)
		}
		g.wantMetric(`ticketproxy_denied_total{caller="fast",reason="caller_rate"} 1`)

		answered := make(chan *http.Response)
		go func() {
			res, _ := g.ask("other", "GET", "/shop/slow")
			answered <- res
		}()
		time.Sleep(time.Second)
		if text := g.expect("other", "GET", "/shop/a", 429, "rate_limited"); !strings.Contains(text, "1 requests in flight") {
			t.Errorf("beside a request: %s", text)
		}
		if res := <-answered; res.StatusCode != 200 {
			t.Errorf("the request in flight: %d", res.StatusCode)
		}
		g.expect("other", "GET", "/shop/a", 200, "")

		g.expect("trial", "GET", "/park/busy", 429, "")
		if res, _ := g.ask("trial", "GET", "/park/a"); res.StatusCode != 429 || res.Header.Get("Retry-After") != "30" {
			t.Errorf("after the API's 429: %d, Retry-After %s", res.StatusCode, res.Header.Get("Retry-After"))
		}
		g.wantMetric(`ticketproxy_denied_total{caller="trial",reason="account_held"} 1`)
		time.Sleep(30 * time.Second)
		g.expect("trial", "GET", "/park/a", 200, "")
	})
}

// TestGateWarns tests that a rule with warn lets pass, and is told of once a minute.
func TestGateWarns(t *testing.T) {
	withGateway(t, gateFile, nil, func(g *gateway) {
		warnings := func() int { return g.log.FilterMessageSnippet("by a rule with warn alone").Len() }
		for range 3 {
			g.expect("trial", "DELETE", "/park/a", 200, "")
		}
		if warnings() != 1 {
			t.Errorf("%d warnings, want 1", warnings())
		}
		g.wantMetric(`ticketproxy_denied_total{caller="trial",reason="warned"} 3`)
		time.Sleep(time.Minute)
		g.expect("trial", "DELETE", "/park/a", 200, "")
		if warnings() != 2 {
			t.Errorf("%d warnings after a minute, want 2", warnings())
		}
	})
}

// TestStrangersAreLimited tests that failed proofs of an address are answered 429, and that
// callers at the same address are not.
func TestStrangersAreLimited(t *testing.T) {
	withGateway(t, gateFile, nil, func(g *gateway) {
		g.setKey("stranger", "tpk_"+strings.Repeat("A", 49))
		got := map[int]int{}
		for range 40 {
			res, _ := g.ask("stranger", "GET", "/park/events/7")
			got[res.StatusCode]++
			if res.StatusCode == 429 && res.Header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
			g.expect("shop", "GET", "/park/events/7", 200, "")
		}
		if got[401] < 10 || got[429] < 10 || got[401]+got[429] != 40 {
			t.Errorf("a stranger gets %v", got)
		}
	})
}

// TestRetryAfter tests the forms of Retry-After.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                              {},
		"7":                             now.Add(7 * time.Second),
		"-7":                            {},
		"99999999999999":                {},
		"soon":                          {},
		"Fri, 02 Jan 2026 03:05:05 GMT": now.Add(time.Minute),
	} {
		if got := retryAfter(text, now); !got.Equal(want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
