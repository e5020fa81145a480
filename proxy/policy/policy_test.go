package policy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"ticketproxy/config/callers"
)

// policyOf returns the policy of a file.
func policyOf(t testing.TB, text string, old *Policy) *Policy {
	t.Helper()
	f, err := callers.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return New(f, old)
}

const rules = `
callers:
  shop:
    uid: 1
    may:
    - {upstream: park, methods: [GET], paths: [/events/**, /orders, "/orders/*", "/v1/orders-*/items"]}
    - {upstream: park, methods: [POST], paths: [/orders]}
    - {upstream: erp, methods: [DELETE]}
    - {upstream: erp, methods: [PUT], paths: [/x, "/**"]}
    - {upstream: crm}
  report: {uid: 2, may: [{upstream: "*"}], tokens: [park]}
  trial:
    uid: 3
    may:
    - {upstream: "*", warn: true}
    - {upstream: park, methods: [GET], paths: [/events/**]}
  nothing: {uid: 4, may: []}
`

func TestRules(t *testing.T) {
	t.Parallel()
	p := policyOf(t, rules, nil)
	for _, c := range []struct {
		caller, upstream, method, path string
		want                           Outcome
	}{
		{"shop", "park", "GET", "/orders", Allowed},
		{"shop", "park", "HEAD", "/orders", Allowed},
		{"shop", "park", "POST", "/orders", Allowed},
		{"shop", "park", "POST", "/events/1", NoPath},
		{"shop", "park", "DELETE", "/orders", BadMethod},
		{"shop", "park", "OPTIONS", "/orders", BadMethod},
		{"shop", "park", "get", "/orders", BadMethod},
		{"shop", "park", "Get", "/orders", BadMethod},
		{"shop", "park", "GET ", "/orders", BadMethod},
		{"shop", "park", "", "/orders", BadMethod},
		{"shop", "park", "GET", "/customers", NoPath},
		{"shop", "erp", "DELETE", "/any/../thing;x", Allowed},
		{"shop", "erp", "PUT", "//a/%2e%2e/b", Allowed},
		{"shop", "erp", "HEAD", "/", BadMethod},
		{"shop", "crm", "PATCH", "*", Allowed},
		{"shop", "Park", "GET", "/orders", NoRule},
		{"shop", "*", "GET", "/orders", NoRule},
		{"shop", "", "GET", "/orders", NoRule},
		{"shop", "web", "GET", "/orders", NoRule},
		{"report", "web", "PATCH", "/a/../b", Allowed},
		{"nothing", "park", "GET", "/", NoRule},
		{"nobody", "park", "GET", "/", UnknownCaller},
		{"", "park", "GET", "/", UnknownCaller},
		{"trial", "park", "GET", "/events/1", Allowed},
		{"trial", "park", "HEAD", "/events/1", Allowed},
		{"trial", "park", "POST", "/events/1", Warned},
		{"trial", "park", "GET", "/events/../orders", Warned},
		{"trial", "web", "GET", "/", Warned},
	} {
		d := p.Decide(c.caller, Request{Upstream: c.upstream, Method: c.method, Path: c.path})
		if d.Outcome != c.want || d.Allowed() != (c.want == Allowed || c.want == Warned) {
			t.Errorf("%+v: %s", c, d.Outcome)
		}
	}
}

func TestOverride(t *testing.T) {
	t.Parallel()
	p := policyOf(t, rules, nil)
	for name, want := range map[string]Outcome{
		"X-HTTP-Method-Override": Overridden, "x-http-method": Overridden, "X-Method-Override": Overridden,
		"X-Original-URL": Overridden, "X-Rewrite-URL": Overridden, "X_HTTP_METHOD_OVERRIDE": Overridden, "X-Original_Uri": Overridden,
		"Method-Override": Overridden, "X-Override-Method": Overridden, "X-Original-Method": Overridden,
		"X-Original-Path": Overridden, "X-Envoy-Original-Path": Overridden, "X-Override-URL": Overridden,
		"X-HTTP-Path-Override": Overridden, "X.Original.URL": Overridden,
		"X-Http-Methods": Allowed, "Http-Method": Allowed, "X-Request-Id": Allowed,
	} {
		h := http.Header{}
		h.Set(name, "DELETE")
		r := Request{Upstream: "park", Method: "GET", Path: "/orders", Override: Override(h)}
		if d := p.Decide("shop", r); d.Outcome != want {
			t.Errorf("%s: %s", name, d.Outcome)
		}
		r.Upstream = "crm"
		if d := p.Decide("shop", r); d.Outcome != Allowed {
			t.Errorf("%s at a rule without methods and paths: %s", name, d.Outcome)
		}
		r.Upstream, r.Method = "erp", "DELETE"
		if d := p.Decide("shop", r); d.Outcome != want {
			t.Errorf("%s at a rule with methods: %s", name, d.Outcome)
		}
	}
}

func TestMayHaveToken(t *testing.T) {
	t.Parallel()
	p := policyOf(t, rules, nil)
	for _, c := range []struct {
		caller, account string
		want            bool
	}{{"report", "park", true}, {"report", "shop", false}, {"report", "", false}, {"shop", "park", false}, {"nobody", "park", false}} {
		if p.MayHaveToken(c.caller, c.account) != c.want {
			t.Errorf("%+v", c)
		}
	}
}

func TestWhy(t *testing.T) {
	t.Parallel()
	p := policyOf(t, rules, nil)
	for _, c := range []struct {
		caller string
		r      Request
		want   string
	}{
		{"shop", Request{"park", "GET", "/orders", ""}, "rule 1 of caller shop allows it (line 6)"},
		{"trial", Request{"park", "POST", "/orders", ""}, "only rule 1 of caller trial allows it (line 15), which has warn: true"},
		{"nobody", Request{"park", "POST", "/orders", ""}, "there is no caller nobody"},
		{"nothing", Request{"park", "GET", "/", ""}, "caller nothing may not GET / at upstream park: it has no rules"},
		{"shop", Request{"web", "GET", "/", ""}, "caller shop may not GET / at upstream web: its rules are for other upstreams"},
		{
			"shop",
			Request{"park", "GET", "/customers", ""},
			"caller shop may not GET /customers at upstream park: rule 1 is for /events/**, /orders, /orders/*, /v1/orders-*/items; rule 2 is for POST",
		},
		{
			"shop",
			Request{"park", "GET", "/events/%2e%2E/x", ""},
			"caller shop may not GET /events/%2e%2E/x at upstream park: rule 1 has paths, and this path has a dot segment; rule 2 is for POST",
		},
		{
			"shop",
			Request{"park", "GET", "/orders", "X-Http-Method"},
			"caller shop may not GET /orders at upstream park: rule 1 does not match a request with X-Http-Method, by which some servers " +
				"take another method or path; rule 2 is for POST",
		},
		{"shop", Request{"park", "G\nT", "/é\"", ""}, `caller shop may not "G\nT" "/\u00e9\"" at upstream park: rule 1 is for GET; rule 2 is for POST`},
	} {
		if got := p.Decide(c.caller, c.r).Why(); got != c.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", c.r, got, c.want)
		}
	}
}

func TestWhyIsBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("callers: {a: {uid: 1, may: [")
	for i := range 100 {
		fmt.Fprintf(&b, "{upstream: x, methods: [%s%d, B, C, D, E, F], paths: [/%s, /b, /c, /d, /e]},", strings.Repeat("M", 28), i, strings.Repeat("x", 2000))
	}
	b.WriteString("]}}")
	p := policyOf(t, b.String(), nil)
	for _, r := range []Request{
		{"x", "GET", "/" + strings.Repeat("y", 100_000), ""},
		{"x", "B", "/" + strings.Repeat("y", 100_000), ""},
		{"x", "B", "/" + strings.Repeat("é\x00\u202e", 10_000), ""},
		{strings.Repeat("\xff", 10_000), strings.Repeat("\x01", 10_000), strings.Repeat("\xff", 10_000), ""},
		{"x", "B", "/", strings.Repeat("X", 10_000)},
	} {
		why := p.Decide("a", r).Why()
		if len(why) > 2048 || strings.ContainsFunc(why, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("%d bytes: %q", len(why), why)
		}
	}
	if why := p.Decide(strings.Repeat("n\n", 1000), Request{}).Why(); len(why) > 300 || strings.Contains(why, "\n") {
		t.Errorf("%q", why)
	}
}

func BenchmarkDecide(b *testing.B) {
	p := policyOf(b, rules, nil)
	for name, r := range map[string]Request{
		"plain":   {"park", "GET", "/events/4711/sessions", ""},
		"encoded": {"park", "GET", "/events/caf%C3%A9", ""},
		"denied":  {"park", "GET", "/customers/4711", ""},
		"odd":     {"park", "GET", "/events/../orders", ""},
		"any":     {"crm", "GET", "/events/4711/sessions", ""},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Decide("shop", r)
			}
		})
	}
	h := http.Header{"Accept": nil, "User-Agent": nil, "X-Request-Id": nil, "X-Correlation-Id": nil, "Accept-Encoding": nil, "Traceparent": nil}
	b.Run("override", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Override(h)
		}
	})
}

// TestDecideDoesNotAllocate tests that a decision on a plain path costs no allocation.
func TestDecideDoesNotAllocate(t *testing.T) {
	p := policyOf(t, rules, nil)
	for _, r := range []Request{
		{"park", "GET", "/events/4711/sessions", ""}, {"park", "GET", "/orders/4711", ""}, {"park", "GET", "/customers", ""}, {"crm", "GET", "/", ""},
	} {
		if n := testing.AllocsPerRun(100, func() { p.Decide("shop", r) }); n != 0 {
			t.Errorf("%+v: %v allocations", r, n)
		}
	}
}
