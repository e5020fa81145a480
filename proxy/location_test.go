package proxy

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
)

func TestLocation(t *testing.T) {
	t.Parallel()
	const app = "localhost:8080"
	for _, test := range []struct {
		base, prefix string
		policy       LocationPolicy
		status       int
		location     string
		want         string
	}{
		{"https://api.example", "", LocationRedirects, 302, "https://api.example/events/1?a=b#c", "http://localhost:8080/events/1?a=b#c"},
		{"https://api.example", "", LocationRedirects, 302, "https://API.example:443/events/1", "http://localhost:8080/events/1"},
		{"https://api.example", "", LocationRedirects, 302, "https://api.example", "http://localhost:8080/"},
		{"https://api.example", "", LocationRedirects, 302, "https://api.example?a", "http://localhost:8080/?a"},
		{"https://api.example", "", LocationRedirects, 302, "//api.example/x", "http://localhost:8080/x"},
		{"https://api.example", "", LocationRedirects, 302, "/events/1", "/events/1"},
		{"https://api.example", "", LocationRedirects, 302, "events/1", "events/1"},
		{"https://api.example", "", LocationRedirects, 302, "http://api.example/x", "http://api.example/x"},
		{"https://api.example", "", LocationRedirects, 302, "https://api.example:444/x", "https://api.example:444/x"},
		{"https://api.example", "", LocationRedirects, 302, "https://api.example.evil/x", "https://api.example.evil/x"},
		{"https://api.example", "", LocationRedirects, 302, "https://api.example@evil.example/x", "https://api.example@evil.example/x"},
		{"https://api.example", "", LocationRedirects, 302, "https://evil.example/x", "https://evil.example/x"},
		{"https://api.example", "", LocationRedirects, 302, "https://api.example/%2F..;x//y", "http://localhost:8080/%2F..;x//y"},
		{"https://api.example", "", LocationRedirects, 302, ":", ":"},
		{"https://api.example", "", LocationRedirects, 201, "https://api.example/events/1", "https://api.example/events/1"},
		{"https://api.example", "", LocationAll, 201, "https://api.example/events/1", "http://localhost:8080/events/1"},
		{"https://api.example", "", LocationAll, 202, "https://api.example/events/1", "http://localhost:8080/events/1"},
		{"https://api.example", "", LocationAll, 204, "https://api.example/events/1", "http://localhost:8080/events/1"},
		{"https://api.example", "", LocationAll, 200, "https://api.example/events/1", "https://api.example/events/1"},
		{"https://api.example", "", LocationNever, 302, "https://api.example/events/1", "https://api.example/events/1"},
		{"https://api.example/v3", "", LocationRedirects, 302, "https://api.example/v3/x", "http://localhost:8080/x"},
		{"https://api.example/v3", "", LocationRedirects, 302, "https://api.example/v3", "http://localhost:8080/"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3", "/"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3?a", "/?a"},
		{"https://api.example/v3", "/park", LocationRedirects, 302, "/v3", "/park/"},
		{"https://api.example/v3/", "", LocationRedirects, 302, "/v3/x", "/x"},
		{"https://api.example/asked", "", LocationRedirects, 302, "/asked", "https://api.example/asked"},
		{"https://api.example/asked", "", LocationRedirects, 302, "/asked?a", "https://api.example/asked?a"},
		{"https://api.example/asked", "", LocationRedirects, 302, "https://api.example/asked", "https://api.example/asked"},
		{"https://api.example/asked", "", LocationRedirects, 302, "/asked/", "/"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3//evil.example/x", "http://localhost:8080//evil.example/x"},
		{"https://api.example/v3", "", LocationRedirects, 302, "https://api.example/v30/x", "https://api.example/v30/x"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3/x", "/x"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/other", "https://api.example/other"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3/\\evil.example/x", "http://localhost:8080/\\evil.example/x"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3/\t/evil.example/x", "http://localhost:8080/\t/evil.example/x"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3\t//evil.example/x", "https://api.example/v3\t//evil.example/x"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3/../other?a", "https://api.example/other?a"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3/a/../b/.", "/b/"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/x/../v3/b", "/b"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3/%2e%2e/other", "https://api.example/other"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3/%252e%252e/other", "https://api.example/v3/%252e%252e/other"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3/a/../b//c", "/b//c"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3/.//x", "http://localhost:8080//x"},
		{"https://api.example/v3", "", LocationRedirects, 302, "https://api.example/v3/x/../y//z", "http://localhost:8080/y//z"},
		{"https://api.example/v3", "", LocationRedirects, 302, "%2E%2e/..//v3//x", "https://api.example//v3//x"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v3/..", "https://api.example/"},
		{"https://api.example", "", LocationRedirects, 302, "https:///127.0.0.1:21050/x", "https:///127.0.0.1:21050/x"},
		{"https://api.example/v3", "", LocationRedirects, 302, "../other", "https://api.example/other"},
		{"https://api.example/v3", "", LocationRedirects, 302, "../v3/other", "/other"},
		{"https://api.example/v3", "", LocationRedirects, 302, "other?a=../b", "other?a=../b"},
		{"https://api.example/v3", "", LocationRedirects, 302, "?a=../b", "?a=../b"},
		{"https://api.example/v3", "", LocationRedirects, 302, "mailto:a@../b", "mailto:a@../b"},
		{"https://api.example", "", LocationRedirects, 302, "../other", "../other"},
		{"https://api.example", "", LocationRedirects, 302, "/a/../b", "/a/../b"},
		{"https://api.example", "", LocationRedirects, 302, "/\\evil.example", "/\\evil.example"},
		{"https://api.example", "/park", LocationRedirects, 302, "../other", "/park/other"},
		{"https://api.example", "/park", LocationRedirects, 302, "/../other", "/park/other"},
		{"https://api.example/v3", "", LocationRedirects, 302, "/v30", "https://api.example/v30"},
		{"https://api.example/v3", "", LocationRedirects, 302, "https://api.example", "https://api.example"},
		{"https://api.example", "", LocationRedirects, 302, "HTTPS://api.example/%zz?%", "http://localhost:8080/%zz?%"},
		{"https://api.example", "", LocationRedirects, 302, "", ""},
		{"https://api.example", "", LocationRedirects, 302, "///x", "///x"},
		{"https://api.example", "", LocationRedirects, 302, "/x?to=https://api.example/", "/x?to=https://api.example/"},
		{"https://api.example", "", LocationRedirects, 302, "?to=https://api.example/", "?to=https://api.example/"},
		{"https://api.example", "", LocationRedirects, 302, "https:/x", "https:/x"},
		{"https://api.example", "", LocationRedirects, 302, "https://user@api.example/x", "https://user@api.example/x"},
		{"https://[::1]:9000", "", LocationRedirects, 302, "https://[::1]:9000/x", "http://localhost:8080/x"},
		{"https://api.example", "/park", LocationRedirects, 302, "https://api.example/x", "http://localhost:8080/park/x"},
		{"https://api.example/v3", "/park", LocationRedirects, 302, "/v3/x", "/park/x"},
		{"http://127.0.0.1:9000", "", LocationRedirects, 307, "http://127.0.0.1:9000/x", "http://localhost:8080/x"},
	} {
		base, err := url.Parse(test.base)
		if err != nil {
			t.Fatal(err)
		}
		u := newForwarder(UpstreamConfig{URL: base, Prefix: test.prefix, Locations: test.policy})
		res := &http.Response{
			StatusCode: test.status,
			Request:    &http.Request{URL: &url.URL{Path: "/asked/"}},
			Header:     http.Header{"Location": {test.location, test.location}, "Content-Location": {test.location}},
		}
		u.rewriteLocations(res, "http", app)
		for _, got := range slices.Concat(res.Header["Location"], res.Header["Content-Location"]) {
			if got != test.want {
				t.Errorf("%s %s %d: %s became %s, want %s", test.base, test.policy, test.status, test.location, got, test.want)
			}
		}
	}
}

// A request over a Unix socket may have no Host.
func TestLocationWithoutAHost(t *testing.T) {
	t.Parallel()
	base, err := url.Parse("https://api.example/v3")
	if err != nil {
		t.Fatal(err)
	}
	u := newForwarder(UpstreamConfig{URL: base})
	for location, want := range map[string]string{
		"https://api.example/v3/x": "/x",
		"/v3/x":                    "/x",
		"/v3//evil.example":        "https://api.example/v3//evil.example",
		"/v3/\\evil.example":       "https://api.example/v3/\\evil.example",
	} {
		if got := u.relocate(location, "", "/"); got != want {
			t.Errorf("%s became %s, want %s", location, got, want)
		}
	}
}

func TestCutPath(t *testing.T) {
	t.Parallel()
	for reference, want := range map[string][2]string{
		"?a":     {"", "?a"},
		"#a?b":   {"", "#a?b"},
		"/x?a#b": {"/x", "?a#b"},
		"/x":     {"/x", ""},
	} {
		if path, tail := cutPath(reference); path != want[0] || tail != want[1] {
			t.Errorf("%s was cut into %q and %q", reference, path, tail)
		}
	}
}
