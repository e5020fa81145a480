package policy

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"ticketproxy/config/callers"
)

// globPolicy returns a policy with one caller a, who may GET these paths.
func globPolicy(t testing.TB, paths string) *Policy {
	t.Helper()
	return policyOf(t, `callers: {a: {uid: 1, may: [{upstream: x, methods: [GET], paths: [`+paths+`]}]}}`, nil)
}

func TestGlobs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ glob, yes, no string }{
		{"/", "/", "/a //"},
		{"/events", "/events /%65vents /event%73", "/events/ /Events /EVENTS /events/1 /event /eventss / *"},
		{"/events/", "/events/", "/events /events/1 /events%2F"},
		{"/events/**", "/events /events/ /events/1 /events/1/2/ /events/1%2F2 /events/a%2f /events/%41 /events/100%25", "/ /event /eventss /events2/1 /Events/1 /events%2F1 /x/events"},
		{"/events/*", "/events/1 /events/a.b /events/%20a /events/%41 /events/50%25", "/events /events/ /events/1/ /events/1/2 /events/1%2F2 /events/1%2f"},
		{"/*", "/a /a.b", "/ /a/ /a/b /a%2Fb"},
		{"/orders-*", "/orders-1 /orders- /orders-a-b", "/orders /orders-1/x /orders-1%2Fx /orders-/ /Orders-1"},
		{"/a*b*c", "/abc /axbxc /abcabc /aXXbYYbZZc", "/ab /abcd /a/b/c /a%2Fb%2Fc /xabc"},
		{"/*.json", "/.json /a.json /a.b.json", "/a.json5 /json /a/b.json"},
		{"/*/items/*", "/a/items/b", "/a/items /items/b /a/items/ /a/items/b/c //items/b"},
		{"/v1/*/**", "/v1/a /v1/a/ /v1/a/b/c", "/v1 /v1/ /v2/a /v1%2Fa"},
		{"/caf\u00e9/**", "/caf%C3%A9 /caf%c3%a9/1", "/cafe /caf%E9 /cafe%CC%81"},
		{"/a b", "/a%20b", "/a+b /ab /a%2520b"},
		{"/a+b@c:d,e(f)!$&'=~", "/a+b@c:d,e(f)!$&'=~ /a%2Bb%40c%3Ad%2Ce%28f%29%21%24%26%27%3D%7E", "/a"},
	} {
		p := globPolicy(t, `"`+c.glob+`"`)
		for _, sent := range strings.Fields(c.yes) {
			if d := p.Decide("a", Request{"x", "GET", sent, ""}); d.Outcome != Allowed {
				t.Errorf("%s does not match %s: %s", c.glob, sent, d.Why())
			}
		}
		for _, sent := range strings.Fields(c.no) {
			if d := p.Decide("a", Request{"x", "GET", sent, ""}); d.Allowed() {
				t.Errorf("%s matches %s", c.glob, sent)
			}
		}
	}
}

// TestTricks tests that no rule with paths matches a path that some server reads in another
// way, and that what is wrong with it is told.
func TestTricks(t *testing.T) {
	t.Parallel()
	tricks := []struct{ sent, odd string }{
		{"/events/..", "has a dot segment"},
		{"/events/../admin", "has a dot segment"},
		{"/events/./x", "has a dot segment"},
		{"/events/.", "has a dot segment"},
		{"/events/%2e%2e/admin", "has a dot segment"},
		{"/events/%2E./admin", "has a dot segment"},
		{"/events/.%2e/admin", "has a dot segment"},
		{"/events/..%2fadmin", "has a dot segment"},
		{"/events/..%2Fadmin", "has a dot segment"},
		{"/events/a%2F..%2F..%2Fadmin", "has a dot segment"},
		{"/events/%2e%2e%2fadmin", "has a dot segment"},
		{"/events/.../admin", "has a dot segment"},
		{"/events/..%20/admin", "has a dot segment"},
		{"/events/%20../admin", "has a dot segment"},
		{"/events/.%20./admin", "has a dot segment"},
		{"/events/%20", "has a dot segment"},
		{"/events/..;/admin", "has a ;, after which some servers read parameters"},
		{"/events/..;a=b/admin", "has a ;, after which some servers read parameters"},
		{"/events/..%3B/admin", "has a ;, after which some servers read parameters"},
		{"/events/..%3b/admin", "has a ;, after which some servers read parameters"},
		{"/events/;/../admin", "has a ;, after which some servers read parameters"},
		{"/events/1;jsessionid=1", "has a ;, after which some servers read parameters"},
		{"/;/events/x", "has a ;, after which some servers read parameters"},
		{"/events//admin", "has an empty segment, //"},
		{"//events/x", "has an empty segment, //"},
		{"/events/x//", "has an empty segment, //"},
		{"///", "has an empty segment, //"},
		{"/%2Fevents/x", "has an empty segment, //"},
		{"/events/%2Fadmin", "has an empty segment, //"},
		{"/events/a%2F%2Fb", "has an empty segment, //"},
		{"/events/a%2F/b", "has an empty segment, //"},
		{`/events\..\admin`, "has a backslash, which some servers take for a slash"},
		{`/events/..\admin`, "has a backslash, which some servers take for a slash"},
		{"/events/..%5Cadmin", "has a backslash, which some servers take for a slash"},
		{"/events/..%5cadmin", "has a backslash, which some servers take for a slash"},
		{"/events/%00", "has a control character"},
		{"/events/x%00/../admin", "has a control character"},
		{"/events/\x00x", "has a control character"},
		{"/events/x%0a", "has a control character"},
		{"/events/x%0d%0aHost:a", "has a control character"},
		{"/events/%09../admin", "has a control character"},
		{"/events/x%7f", "has a control character"},
		{"/events/x%c2%85", "has a control character"},
		{"/events/%252e%252e/admin", "is encoded twice"},
		{"/events/%252e%252e%252fadmin", "is encoded twice"},
		{"/events/x%252fadmin", "is encoded twice"},
		{"/events/%25252e%25252e/admin", "is encoded twice"},
		{"/events/x%255cadmin", "is encoded twice"},
		{"/events/%u002e%u002e/admin", "has a % that begins no percent encoding"},
		{"/events/%25u002e/admin", "has a % that begins no percent encoding"},
		{"/events/%", "has a % that begins no percent encoding"},
		{"/events/%2", "has a % that begins no percent encoding"},
		{"/events/%zz", "has a % that begins no percent encoding"},
		{"/events/%%32%65", "has a % that begins no percent encoding"},
		{"/events/%c0%ae%c0%ae/admin", "is not UTF-8"},
		{"/events/%c0%afadmin", "is not UTF-8"},
		{"/events/%e0%80%ae/admin", "is not UTF-8"},
		{"/events/%ff", "is not UTF-8"},
		{"/events/\xc0\xae/admin", "is not UTF-8"},
		{"/events/%ed%a0%80", "is not UTF-8"},
		{"/events/%ef%bc%8e%ef%bc%8e/admin", "has a character that some servers take for one of / \\ . ; % ? #"},
		{"/events/x%ef%bc%8fadmin", "has a character that some servers take for one of / \\ . ; % ? #"},
		{"/events/x%ef%bc%bcadmin", "has a character that some servers take for one of / \\ . ; % ? #"},
		{"/events/x%e2%88%95admin", "has a character that some servers take for one of / \\ . ; % ? #"},
		{"/events/x%cd%be", "has a character that some servers take for one of / \\ . ; % ? #"},
		{"/events/%e2%80%a5/admin", "has a character that some servers take for one of / \\ . ; % ? #"},
		{"/events/\uff0e\uff0e/admin", "has a character that some servers take for one of / \\ . ; % ? #"},
		{"/events/.%e2%80%8b./admin", "has a blank or an invisible character, which some servers remove"},
		{"/events/..%c2%a0/admin", "has a blank or an invisible character, which some servers remove"},
		{"/events/.%c2%ad./admin", "has a blank or an invisible character, which some servers remove"},
		{"/events/%ef%bb%bf../admin", "has a blank or an invisible character, which some servers remove"},
		{"/events/x?y", "has a ? or #, at which some servers end the path"},
		{"/events/x%3fy", "has a ? or #, at which some servers end the path"},
		{"/events/x%3F/admin", "has a ? or #, at which some servers end the path"},
		{"/events/../admin#/events/x", "has a ? or #, at which some servers end the path"},
		{"/events/x%23y", "has a ? or #, at which some servers end the path"},
		{"*", "does not begin with a slash"},
		{"", "does not begin with a slash"},
		{"events/x", "does not begin with a slash"},
		{"http://x/events/x", "does not begin with a slash"},
		{"%2Fevents/x", "does not begin with a slash"},
		{"x:443", "does not begin with a slash"},
	}
	if len(tricks) < 40 {
		t.Errorf("only %d tricks", len(tricks))
	}
	strict := globPolicy(t, `/events/**, "/*", "/*/**", "/events/*"`)
	open := policyOf(t, `callers: {a: {uid: 1, may: [{upstream: x, methods: [GET]}]}, b: {uid: 2, may: [{upstream: x, paths: ["/**"]}]}}`, nil)
	for _, trick := range tricks {
		r := Request{"x", "GET", trick.sent, ""}
		d := strict.Decide("a", r)
		if d.Outcome != OddPath || !strings.Contains(d.Why(), "this path "+trick.odd) {
			t.Errorf("%q: %s: %s", trick.sent, d.Outcome, d.Why())
		}
		for _, caller := range []string{"a", "b"} {
			if d := open.Decide(caller, r); d.Outcome != Allowed {
				t.Errorf("%q is not allowed without paths: %s", trick.sent, d.Why())
			}
		}
	}
}

// lenient returns what servers of several kinds take a path for.
func lenient(sent string) []string {
	all := []string{sent}
	add := func(change func(string) string) {
		for _, one := range all[:len(all):len(all)] {
			all = append(all, change(one))
		}
	}
	decode := func(s string) string {
		if d, err := url.PathUnescape(s); err == nil {
			return d
		}
		return s
	}
	params := regexp.MustCompile(`;[^/]*`)
	add(decode)
	add(func(s string) string { return params.ReplaceAllString(s, "") })
	add(func(s string) string { s, _, _ = strings.Cut(s, "\x00"); return s })
	add(func(s string) string { s, _, _ = strings.Cut(s, "?"); s, _, _ = strings.Cut(s, "#"); return s })
	add(func(s string) string { return strings.ReplaceAll(s, `\`, "/") })
	add(decode)
	add(strings.TrimSpace)
	add(func(s string) string {
		clean := path.Clean("/" + s)
		if strings.HasSuffix(s, "/") && clean != "/" {
			clean += "/"
		}
		return clean
	})
	return all
}

// FuzzPath tests that what a rule allows is in the rule for every kind of server.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"/events/1", "/events/../admin", "/events/%2e%2e%2fadmin", "/events/..;/admin", "/events/%252e%252e/admin", `/events/..\admin`,
		"/events/x%00", "/events//admin", "/orders/1%2Fcancel", "/orders/1%252Fcancel", "/orders/1%3Fcancel", "/a-%3fx/z", "/orders/%20",
	} {
		f.Add(seed)
	}
	p := globPolicy(f, `/events/**, "/orders/*", "/a-*/z"`)
	inside := regexp.MustCompile(`(?s)^/events(/.*)?$|^/orders/[^/]+/?$|^/a-[^/]*/z/?$`)
	f.Fuzz(func(t *testing.T, sent string) {
		d := p.Decide("a", Request{"x", "GET", sent, ""})
		if len(d.Why()) > 2048 {
			t.Errorf("%q: %d bytes", sent, len(d.Why()))
		}
		if !d.Allowed() {
			return
		}
		for _, seen := range lenient(sent) {
			decoded, err := url.PathUnescape(seen)
			if err != nil {
				decoded = seen
			}
			if !inside.MatchString(decoded) {
				t.Errorf("%q is allowed, and some server takes it for %q", sent, decoded)
			}
		}
	})
}

func FuzzSegment(f *testing.F) {
	f.Add("a*b*c", "axbxc")
	f.Add("*a", "aaaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, pattern, segment string) {
		if strings.ContainsAny(pattern+segment, "\x00/") || pattern == "*" && segment == "" {
			return
		}
		quoted := strings.ReplaceAll(regexp.QuoteMeta(strings.ToValidUTF8(pattern, "x")), `\*`, `.*`)
		want := regexp.MustCompile(`(?s)^` + quoted + `$`).MatchString(strings.ToValidUTF8(segment, "x"))
		if got := matchesSegment(strings.ToValidUTF8(pattern, "x"), strings.ToValidUTF8(segment, "x")); got != want {
			t.Errorf("%q and %q: %v", pattern, segment, got)
		}
	})
}

// TestManyStars tests that a pattern with many stars costs little.
func TestManyStars(t *testing.T) {
	t.Parallel()
	g := callers.Glob{Segments: []string{strings.Repeat("a*", 500) + "b"}}
	if matches(&g, "/"+strings.Repeat("a", 20_000)) {
		t.Error("matches")
	}
}
