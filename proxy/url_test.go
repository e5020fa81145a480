package proxy

import (
	"net/http"
	"net/url"
	"testing"
)

func TestEscapesBase(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/":                   false,
		"/a/b.c/..d/e..":      false,
		"/a//b/":              false,
		"/%2F/%E4":            false,
		"/a%":                 false,
		"/a/../b":             true,
		"/..%c0%afx":          true,
		"/%c0%ae%c0%ae/x":     true,
		"/%e0%80%ae./x":       true,
		"/..%ef%bc%8fx":       true,
		"/..%00/x":            true,
		"/.%00./x":            true,
		"/..%20/x":            true,
		"/..%0d/x":            true,
		"/%C0%E9/x.y":         false,
		"/..":                 true,
		"/./a":                true,
		"/a/%2e%2e/b":         true,
		"/a/%2E./b":           true,
		"/a/.%2e":             true,
		"/a%2f..%2fb":         true,
		"/a%2F%2e%2E%2fb":     true,
		"/a\\..\\b":           true,
		"/a%5c..%5cb":         true,
		"/a/%252e%252e/b":     true,
		"/a/..;x=1/b":         true,
		"/a/..%3bx/b":         true,
		"/%25252525252525":    true,
		"/100%25":             false,
		"/a/...":              false,
		"/tickets/%F0%9F%8E%": false,
	} {
		if got := escapesBase(path); got != want {
			t.Errorf("%s escapes: %v", path, got)
		}
	}
}

func TestDropParams(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                               "",
		"a=b&c":                          "a=b&c",
		"access_token=x":                 "",
		"a=1&access_token=x&b=2":         "a=1&b=2",
		"access%5Ftoken=x&filters[a]=gt": "filters[a]=gt",
		"access%5Ftoken=x&&a":            "&a",
		"access_token&a=%zz":             "a=%zz",
		"my_access_token=x":              "my_access_token=x",
		"a=access_token=x":               "a=access_token=x",
	} {
		if got := dropParams(query, []string{"access_token"}); got != want {
			t.Errorf("%q became %q, want %q", query, got, want)
		}
	}
}

// A percent sign that begins no encoding is left as it is.
func TestDecoded(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/%41%2f": "/A/", "/%4": "/%4", "/%": "/%", "/%4g": "/%4g", "/%%41": "/%A", "/%2541": "/%41", "%41": "A", "/a": "/a",
	} {
		if got := decoded(path); got != want {
			t.Errorf("%s became %s, want %s", path, got, want)
		}
	}
}

func TestPathOf(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"/a?b": "/a", "*": "*", "http://host": "/", "http://host?a": "/", "http://host/a//b?c": "/a//b", "http:///a": "/a",
	} {
		if got := pathOf(&http.Request{RequestURI: uri}); got != want {
			t.Errorf("%s has path %s, want %s", uri, got, want)
		}
	}
}

// The bytes of a path stay as they were sent, also for what is resolved against it.
func TestSetPath(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{"/a%2Fb": "/a/b", "/a b": "/a b", "/a%zz": "/a%zz", "/a|b%41": "/a|bA", "/a": "/a"} {
		u := &url.URL{Scheme: "https", Host: "api.test"}
		setPath(u, sent)
		if u.Path != want || u.RequestURI() != sent {
			t.Errorf("%s: path %s, sent as %s", sent, u.Path, u.RequestURI())
		}
	}
	u := new(url.URL)
	if setPath(u, "/a%2Fb/c"); u.EscapedPath() != "/a%2Fb/c" {
		t.Errorf("escaped path %s", u.EscapedPath())
	}
}
