package proxy_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"ticketproxy/proxy/inbound"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	guard := &inbound.Guard{Hosts: []string{"Park.Internal", "fd00::5", "other.test:8080", "127.0.0.3"}, Origins: []string{"https://app.test"}}
	tcp := &net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 8080}
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	loopback6 := &net.TCPAddr{IP: net.IPv6loopback, Port: 8080}
	type header map[string][]string
	for name, test := range map[string]struct {
		method, target, host string
		header               header
		local                net.Addr
		want                 int // 0 passes
	}{
		"localhost":                            {host: "localhost"},
		"any port":                             {host: "localhost:1"},
		"empty port":                           {host: "localhost:"},
		"upper case":                           {host: "LocalHost:8080"},
		"trailing dot":                         {host: "localhost.:8080", want: 421},
		"IPv4, trailing dot":                   {host: "127.0.0.1.:8080", want: 421},
		"two dots":                             {host: "localhost..", want: 421},
		"IPv4":                                 {host: "127.0.0.1:8080"},
		"IPv6":                                 {host: "[::1]:8080"},
		"IPv6 without a port":                  {host: "[::1]"},
		"the connection's address":             {host: "192.0.2.7:8080"},
		"another address":                      {host: "192.0.2.8:8080", want: 421},
		"mapped address":                       {host: "[::ffff:192.0.2.7]:8080"},
		"mapped loopback":                      {host: "[::ffff:127.0.0.1]:8080", local: loopback, want: 421},
		"mapped loopback, in hex":              {host: "[::ffff:7f00:1]:8080", local: loopback, want: 421},
		"IPv6 loopback, long":                  {host: "[0:0:0:0:0:0:0:1]:8080", local: loopback6, want: 421},
		"other loopback address":               {host: "127.0.0.2:8080", local: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 8080}, want: 421},
		"given loopback address":               {host: "127.0.0.3:8080", local: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 3), Port: 8080}},
		"unspecified":                          {host: "0.0.0.0:8080", local: loopback, want: 421},
		"unspecified IPv6":                     {host: "[::]:8080", local: loopback6, want: 421},
		"mapped unspecified":                   {host: "[::ffff:0:0]:8080", local: loopback, want: 421},
		"zero":                                 {host: "0:8080", local: loopback, want: 421},
		"short loopback":                       {host: "127.1:8080", local: loopback, want: 421},
		"hexadecimal loopback":                 {host: "0x7f.1:8080", local: loopback, want: 421},
		"octal loopback":                       {host: "017700000001:8080", local: loopback, want: 421},
		"Unix socket":                          {host: "anything.test", local: &net.UnixAddr{Name: "/s", Net: "unix"}},
		"allowed":                              {host: "park.internal:8080"},
		"allowed IPv6":                         {host: "[FD00::5]:8080"},
		"allowed with a port":                  {host: "OTHER.test.:8080"},
		"allowed at another port":              {host: "other.test:8081", want: 421},
		"allowed at a port, no port":           {host: "other.test", want: 421},
		"subdomain of an allowed":              {host: "a.park.internal", want: 421},
		"allowed as a suffix":                  {host: "evilpark.internal", want: 421},
		"DNS rebinding":                        {host: "evil.example:8080", want: 421},
		"localhost as a label":                 {host: "localhost.evil.example", want: 421},
		"subdomain of localhost":               {host: "a.localhost", want: 421},
		"no Host":                              {host: "", want: 421},
		"decimal loopback":                     {host: "2130706433", local: loopback, want: 421},
		"absolute form":                        {target: "http://localhost/x", host: "localhost"},
		"absolute form, elsewhere":             {target: "http://evil.example/x", host: "evil.example", want: 421},
		"absolute form, our port":              {target: "http://localhost:8080/x", host: "localhost:8080"},
		"absolute form, other port":            {target: "http://localhost:9/x", host: "localhost:9", want: 421},
		"absolute form, TLS":                   {target: "https://localhost/x", host: "localhost", want: 421},
		"absolute form, nowhere":               {target: "http:///x", host: "localhost", want: 421},
		"absolute form, no slashes":            {target: "http:/x", host: "localhost", want: 421},
		"opaque form":                          {target: "http:evil.example/x", host: "localhost", want: 421},
		"CONNECT":                              {method: "CONNECT", target: "localhost:80", host: "localhost", want: 405},
		"TRACE":                                {method: "TRACE", host: "localhost", want: 405},
		"Sec-Fetch-Site: none":                 {host: "localhost", header: header{"Sec-Fetch-Site": {"none"}}},
		"Sec-Fetch-Site: same-origin":          {host: "localhost", header: header{"Sec-Fetch-Site": {"same-origin"}}},
		"Sec-Fetch-Site: cross-site":           {host: "localhost", header: header{"Sec-Fetch-Site": {"cross-site"}}, want: 403},
		"Sec-Fetch-Site: same-site":            {host: "localhost", header: header{"Sec-Fetch-Site": {"same-site"}}, want: 403},
		"Sec-Fetch-Site: unknown":              {host: "localhost", header: header{"Sec-Fetch-Site": {"next-door"}}, want: 403},
		"Sec-Fetch-Site: two":                  {host: "localhost", header: header{"Sec-Fetch-Site": {"none", "cross-site"}}, want: 403},
		"own origin, with a path":              {host: "localhost", header: header{"Origin": {"http://localhost/"}}, want: 403},
		"own origin, with a user":              {host: "localhost", header: header{"Origin": {"http://a@localhost"}}, want: 403},
		"own origin":                           {host: "localhost:8080", header: header{"Origin": {"http://localhost:8080"}}},
		"own origin, upper case":               {host: "LOCALHOST:8080", header: header{"Origin": {"http://localhost:8080"}}},
		"own origin, other port":               {host: "localhost:8080", header: header{"Origin": {"http://localhost:3000"}}, want: 403},
		"own origin, TLS":                      {host: "localhost:8080", header: header{"Origin": {"https://localhost:8080"}}, want: 403},
		"own origin, other site":               {host: "localhost:8080", header: header{"Origin": {"http://localhost:8080"}, "Sec-Fetch-Site": {"cross-site"}}, want: 403},
		"foreign origin":                       {host: "localhost", header: header{"Origin": {"https://evil.example"}}, want: 403},
		"null origin":                          {host: "localhost", header: header{"Origin": {"null"}}, want: 403},
		"empty origin":                         {host: "localhost", header: header{"Origin": {""}}, want: 403},
		"several origins":                      {host: "localhost", header: header{"Origin": {"https://app.test", "https://app.test"}}, want: 403},
		"allowed origin":                       {host: "localhost", header: header{"Origin": {"https://app.test"}, "Sec-Fetch-Site": {"cross-site"}}},
		"link on an allowed page":              {host: "localhost", header: header{"Referer": {"https://app.test/"}, "Sec-Fetch-Site": {"cross-site"}}},
		"link on an allowed page, HEAD":        {method: "HEAD", host: "localhost", header: header{"Referer": {"https://app.test/a"}, "Sec-Fetch-Site": {"same-site"}}},
		"link on an allowed page, POST":        {method: "POST", host: "localhost", header: header{"Referer": {"https://app.test/"}, "Sec-Fetch-Site": {"cross-site"}}, want: 403},
		"link on two pages":                    {host: "localhost", header: header{"Referer": {"https://app.test/", "https://app.test/"}, "Sec-Fetch-Site": {"cross-site"}}, want: 403},
		"link on an allowed page, null origin": {host: "localhost", header: header{"Origin": {"null"}, "Referer": {"https://app.test/"}, "Sec-Fetch-Site": {"cross-site"}}, want: 403},
		"link on an allowed page, own origin":  {host: "localhost", header: header{"Origin": {"http://localhost"}, "Referer": {"https://app.test/"}, "Sec-Fetch-Site": {"cross-site"}}, want: 403},
		"link on an allowed page, prefetched":  {host: "localhost", header: header{"Sec-Purpose": {"prefetch"}, "Referer": {"https://app.test/"}, "Sec-Fetch-Site": {"cross-site"}}, want: 403},
		"link on a page of a similar name":     {host: "localhost", header: header{"Referer": {"https://app.test.evil.example/"}, "Sec-Fetch-Site": {"cross-site"}}, want: 403},
		"link on a page with a user name":      {host: "localhost", header: header{"Referer": {"https://app.test@evil.example/"}, "Sec-Fetch-Site": {"cross-site"}}, want: 403},
		"link on a foreign page":               {host: "localhost", header: header{"Referer": {"https://evil.example/"}, "Sec-Fetch-Site": {"cross-site"}}, want: 403},
		"allowed origin, preflight":            {method: "OPTIONS", host: "localhost", header: header{"Origin": {"https://app.test"}}},
		"like an allowed origin":               {host: "localhost", header: header{"Origin": {"https://app.test.evil.example"}}, want: 403},
		"allowed origin, DNS rebinding":        {host: "evil.example", header: header{"Origin": {"https://app.test"}}, want: 421},
		"foreign origin, CORS":                 {method: "OPTIONS", host: "localhost", header: header{"Origin": {"https://evil.example"}, "Access-Control-Request-Method": {"GET"}}, want: 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := test.target
			if target == "" {
				target = "/"
			}
			r := httptest.NewRequest(max(test.method, "GET"), "/", nil)
			if test.method == "CONNECT" {
				r.Method = test.method
			} else {
				r.URL = parse(t, target)
				r.Method = max(test.method, "GET")
			}
			r.Host, r.RequestURI, r.Header = test.host, target, http.Header(test.header)
			local := test.local
			if local == nil {
				local = tcp
			}
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
			got := 0
			if p := guard.Refuse(r); p != nil {
				got = p.Status
			}
			is(t, "status", got, test.want)
		})
	}
}

// A request that the guard refuses is answered with a problem, and does not reach the API.
func TestGuardOnTheWire(t *testing.T) {
	t.Parallel()
	w := begin(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the API got %s %s", r.Method, r.URL) }))
	for raw, want := range map[string]struct {
		status int
		code   string
	}{
		"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n":                                                   {421, "host_not_allowed"},
		"GET / HTTP/1.0\r\n\r\n":                                                                         {421, "host_not_allowed"},
		"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n":                                   {421, "host_not_allowed"},
		"GET http:evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n":                                     {421, "host_not_allowed"},
		"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n":                      {403, "cross_site"},
		"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n":                                      {405, "method_not_allowed"},
		"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n":                                                    {405, "method_not_allowed"},
		"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n":                                {400, "bad_request"},
		"GET / HTTP/1.1\r\n\r\n":                                                                         {400, "bad_request"},
		"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd":       {400, "bad_request"},
		"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n":    {501, "not_implemented"},
		"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: w\r\nOrigin: null\r\n\r\n": {403, "cross_site"},
	} {
		res, _ := w.ask(raw)
		is(t, raw, res.StatusCode, want.status)
		is(t, raw, res.Header.Get(inbound.ErrorHeader), want.code)
		if want.code != "" { // a page that shows the answer may load nothing
			is(t, raw, res.Header.Get("Content-Security-Policy"), "default-src 'none'; sandbox")
		}
	}
}
