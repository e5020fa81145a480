package proxy_test

import (
	"io"
	"net/http"
	"testing"

	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
)

func TestRoutes(t *testing.T) {
	t.Parallel()
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host+" "+r.RequestURI) }), func(w *fixture) {
		w.upstream.URL, w.upstream.Prefix = parse(w, "http://park.test"), "/park"
		w.guard.Hosts = []string{"shop.local", "own.local"}
		for _, u := range []struct{ url, host, prefix string }{
			{"http://based.test/v1/", "", "/based"},
			{"http://deep.test", "", "/park/deep"},
			{"http://own.test", "own.local", "/"},
			{"http://shop.test/a%2Fb", "Shop.Local", "/shop"},
			{"http://second.test", "", "/based"}, // never served
		} {
			w.others = append(w.others, proxy.UpstreamConfig{URL: parse(w, u.url), Host: u.host, Prefix: u.prefix, Source: w.source, Transport: w.upstream.Transport})
		}
	})
	for _, test := range []struct{ host, path, want string }{
		{"localhost", "/park", "park.test /"},
		{"localhost", "/park/", "park.test /"},
		{"localhost", "/park/x", "park.test /x"},
		{"localhost", "/park//x/", "park.test //x/"},
		{"localhost", "/park?a=b", "park.test /?a=b"},
		{"localhost", "/park/a|b%2F", "park.test /a|b%2F"},
		{"localhost", "/park/park/x", "park.test /park/x"},
		{"localhost", "/parking", ""},
		{"localhost", "/Park", ""},
		{"localhost", "/p%61rk", ""},
		{"localhost", "//park/x", ""},
		{"localhost", "/park%2Fx", ""},
		{"localhost", "/", ""},
		{"localhost", "*", ""},
		{"localhost", "/park/deep/x", "deep.test /x"},
		{"localhost", "/park/deeper", "park.test /deeper"},
		{"localhost", "/based", "based.test /v1/"},
		{"localhost", "/based/x%2Fy?", "based.test /v1/x%2Fy?"},
		{"localhost", "http://localhost/based/x", "based.test /v1/x"},
		{"localhost", "http://localhost/park/a|b%2F", "park.test /a|b%2F"},
		{"localhost", "http://localhost/park?a=b", "park.test /?a=b"},
		{"own.local", "http://own.local?a=b", "own.test /?a=b"},
		{"own.local", "/park/x", "own.test /park/x"},
		{"OWN.local.:80", "/", "own.test /"},
		{"own.local", "*", "own.test *"},
		{"shop.local", "/shop/x", "shop.test /a%2Fb/x"},
		{"shop.local", "/park/x", "park.test /x"},
		{"shop.local", "/x", ""},
	} {
		res, got := w.ask("OPTIONS " + test.path + " HTTP/1.1\r\nHost: " + test.host + "\r\n\r\n")
		if test.want == "" {
			is(t, test.path, res.StatusCode, 404)
			is(t, test.path, res.Header.Get(inbound.ErrorHeader), "no_such_upstream")
			continue
		}
		is(t, test.host+" "+test.path, got, test.want)
	}
}

func TestOptionsOfTheServerBelowABasePath(t *testing.T) {
	t.Parallel()
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) }), func(w *fixture) {
		w.upstream.URL = parse(w, "http://api.test/v1")
	})
	_, got := w.ask("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
	is(t, "target", got, "*")
	_, got = w.ask("GET //a|b HTTP/1.1\r\nHost: localhost\r\n\r\n")
	is(t, "target", got, "/v1//a|b")
}
