package proxy_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
)

const get = "GET / HTTP/1.1\r\nHost: localhost\r\n"

// Lines end as RFC 9112, section 2.2, allows, values hold no control character, and
// names are tokens. Any other header is refused.
func TestHeaderBytes(t *testing.T) {
	rows := []row{
		{name: "LF alone ends every line", raw: "GET / HTTP/1.1\nHost: localhost\nX-A: 1\n\n", want: "200", seen: sent("GET /", auth, "X-A: 1")},
		{name: "LF alone ends one line", raw: get + "X-A: 1\nX-B: 2\r\n\r\n", want: "200", seen: sent("GET /", auth, "X-A: 1", "X-B: 2")},
		{name: "LF alone ends the header", raw: get + "X-A: 1\r\n\n", want: "200", seen: sent("GET /", auth, "X-A: 1")},
		{name: "CR alone ends every line", raw: "GET / HTTP/1.1\rHost: localhost\r\r", want: "waits"},
		{name: "folded by a space", raw: get + "X-A: 1\r\n 2\r\n\r\n", want: "200", seen: sent("GET /", auth, "X-A: 1 2")},
		{name: "folded by a tab", raw: get + "X-A: 1\r\n\t2\r\n\r\n", want: "200", seen: sent("GET /", auth, "X-A: 1 2")},
		{name: "folded twice", raw: get + "X-A: 1\r\n \r\n 2\r\n\r\n", want: "200", seen: sent("GET /", auth, "X-A: 1  2")},
		{name: "folded from the start", raw: get + "X-A:\r\n 1\r\n\r\n", want: "200", seen: sent("GET /", auth, "X-A: 1")},
		{name: "folded into what looks like Authorization", raw: get + "X-A: 1\r\n Authorization: Bearer x\r\n\r\n", want: "200", seen: sent("GET /", auth, "X-A: 1 Authorization: Bearer x")},
		{name: "folded Authorization", raw: get + "Authorization:\r\n Bearer\r\n x\r\n\r\n", want: "200", seen: sent("GET /")},
		{name: "folded Host", raw: "GET / HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n", want: "200", seen: sent("GET /")},
		{name: "folded Host, two names", raw: "GET / HTTP/1.1\r\nHost: localhost\r\n evil.example\r\n\r\n", want: "400 bad_request, close"},
		{name: "spaces around a value", raw: get + "X-A: \t 1 \t \r\n\r\n", want: "200", seen: sent("GET /", auth, "X-A: 1")},
		{name: "no space", raw: get + "X-A:1\r\n\r\n", want: "200", seen: sent("GET /", auth, "X-A: 1")},
		{name: "tab within a value", raw: get + "X-A: 1\t2\r\n\r\n", want: "200", seen: sent("GET /", auth, "X-A: 1\t2")},
		{name: "empty value", raw: get + "X-A:\r\n\r\n", want: "200", seen: sent("GET /", auth, "X-A: ")},
		{name: "high bytes in a value", raw: get + "X-A: \x80\xff\u00e4\r\n\r\n", want: "200", seen: sent("GET /", auth, "X-A: \x80\xff\u00e4")},
		{name: "colons in a value", raw: get + "X-A: :b:\r\n\r\n", want: "200", seen: sent("GET /", auth, "X-A: :b:")},
		{name: "every character of a token", raw: get + "A!#$%&'*+-.^_`|~9: 1\r\n\r\n", want: "200", seen: sent("GET /", "A!#$%&'*+-.^_`|~9: 1", auth)},
		{name: "a digit first", raw: get + "9a: 1\r\n\r\n", want: "200", seen: sent("GET /", "9a: 1", auth)},
		{name: "many", raw: get + numbered(2000) + "\r\n", want: "200", seen: sent("GET /", auth, strings.TrimSuffix(numbered(2000), "\r\n")), once: true},
		{name: "long", raw: get + "X-A: " + strings.Repeat("a", 900_000) + "\r\n\r\n", want: "200", seen: sent("GET /", auth, "X-A: "+strings.Repeat("a", 900_000)), once: true},
		{name: "too long", raw: get + "X-A: " + strings.Repeat("a", 2<<20) + "\r\n\r\n", want: "431 header_too_large, close", once: true},
		{name: "too many", raw: get + strings.Repeat("A: b\r\n", 300_000) + "\r\n", want: "431 header_too_large, close", once: true},
		{name: "too many lines of one value", raw: get + "X-A: 1\r\n" + strings.Repeat(" a\r\n", 300_000) + "\r\n", want: "431 header_too_large, close", once: true},
		{name: "too long a name", raw: get + strings.Repeat("a", 2<<20), want: "431 header_too_large, close", once: true},
	}
	for name, line := range map[string]string{
		"NUL in a value":             "X-A: 1\x002",
		"SOH in a value":             "X-A: 1\x01",
		"ESC in a value":             "X-A: \x1b[2J",
		"BS in a value":              "X-A: 1\b",
		"vertical tab in a value":    "X-A: 1\v2",
		"form feed in a value":       "X-A: 1\f2",
		"DEL in a value":             "X-A: 1\x7f",
		"CR in a value":              "X-A: 1\r2",
		"CR and a forged line":       "X-A: 1\rAuthorization: Bearer x",
		"CR before CR LF":            "X-A: 1\r",
		"CR first":                   "\rX-A: 1",
		"space before the colon":     "X-A : 1",
		"tab before the colon":       "X-A\t: 1",
		"space in a name":            "X A: 1",
		"Authorization, space after": "Authorization : Bearer x",
		"Authorization, NUL within":  "Author\x00ization: Bearer x",
		"NUL in a name":              "X-\x00A: 1",
		"DEL in a name":              "X-\x7fA: 1",
		"CR in a name":               "X-\rA: 1",
		"non-ASCII name":             "X-\u00e4: 1",
		"Kelvin sign in a name":      "Coo\u212aie: a=b",
		"high byte in a name":        "X-\xff: 1",
		"brackets in a name":         "X[A]: 1",
		"quoted name":                `"X-A": 1`,
		"slash in a name":            "X/A: 1",
		"at in a name":               "X@A: 1",
		"comma in a name":            "Host,X: 1",
		"empty name":                 ": 1",
		"space alone as a name":      " : 1",
		"colon alone":                ":",
		"no colon":                   "X-A 1",
		"a request line as a header": "GET /b HTTP/1.1",
		"equals sign, no colon":      "X-A= 1",
	} {
		rows = append(rows, row{name: name, raw: get + "X-First: 1\r\n" + line + "\r\n\r\n", want: "400 bad_request, close"})
	}
	// A line that begins with a space continues the value before, whatever it holds.
	// Before the first header it is an error.
	i := slices.IndexFunc(rows, func(r row) bool { return r.name == "space alone as a name" })
	rows[i].want, rows[i].seen = "200", sent("GET /", auth, "X-First: 1 : 1")
	rows = append(rows, row{name: "space before the first header", raw: "GET / HTTP/1.1\r\n X-A: 1\r\n" + local, want: "400 bad_request, close"})
	corpus(t, rows)
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "H%06d: %d\r\n", i, i)
	}
	return b.String()
}

// An app's header fields go out as often as they came, and fields of one name in their
// order.
func TestHeadersThatGoOut(t *testing.T) {
	var rows []row
	for name, test := range map[string]struct{ in, out []string }{
		"order of one name":     {[]string{"Company: b", "Company: a", "Company: b"}, []string{auth, "Company: b", "Company: a", "Company: b"}},
		"order through another": {[]string{"Company: b", "X-A: 1", "company: a"}, []string{auth, "Company: b", "Company: a", "X-A: 1"}},
		"spelling":              {[]string{"x-COUNT: 1", "ETAG: 2"}, []string{auth, "Etag: 2", "X-Count: 1"}},
		"underscores":           {[]string{"X_Request_Id: 1", "x-request-id: 2"}, []string{auth, "X-Request-Id: 2", "X_request_id: 1"}},
		"lists are not joined":  {[]string{"Accept: a, b", "Accept: c"}, []string{"Accept: a, b", "Accept: c", auth}},
		"conditions and ranges": {[]string{`If-None-Match: W/"x"`, "Range: bytes=0-1,-2"}, []string{auth, `If-None-Match: W/"x"`, "Range: bytes=0-1,-2"}},
		"user agents":           {[]string{"User-Agent: a/1"}, []string{"User-Agent: a/1", auth}},
		"empty user agent":      {[]string{"User-Agent:"}, []string{auth}},
		"two user agents":       {[]string{"User-Agent: a", "User-Agent: b"}, []string{"User-Agent: a", "User-Agent: b", auth}},
		"cookies":               {[]string{"Cookie: a=b", "Cookie: c=d"}, []string{auth, "Cookie: a=b", "Cookie: c=d"}},
		"method override":       {[]string{"X-HTTP-Method-Override: DELETE"}, []string{auth, "X-Http-Method-Override: DELETE"}},
		"like Authorization":    {[]string{"X-Authorization: x", "Authorization2: y"}, []string{auth, "Authorization2: y", "X-Authorization: x"}},
		"our error header":      {[]string{"Ticketproxy-Error: draining"}, []string{auth, "Ticketproxy-Error: draining"}},
		"fields about a body":   {[]string{"Content-Type: a/b", "Content-Encoding: gzip", "Content-Length: 0"}, []string{"Content-Length: 0", auth, "Content-Encoding: gzip", "Content-Type: a/b"}},
		"te trailers":           {[]string{"TE: trailers"}, []string{auth, "Connection: TE", "Te: trailers"}},
		"te among others":       {[]string{"TE: gzip;q=1, trailers"}, []string{auth, "Connection: TE", "Te: trailers"}},
		"te twice":              {[]string{"Connection: close, TE", "TE: foo", "TE: bar, trailers"}, []string{auth, "Connection: TE", "Te: trailers"}},
		"loop prevention":       {[]string{"Via: 1.1 a", "Max-Forwards: 0"}, []string{auth, "Max-Forwards: 0", "Via: 1.1 a"}},
		"idempotency key":       {[]string{"Idempotency-Key: k", "X-Idempotency-Key: l"}, []string{auth, "Idempotency-Key: k", "X-Idempotency-Key: l"}},
	} {
		want := "200"
		if strings.Contains(strings.Join(test.in, "\n"), "close") {
			want = "200, close"
		}
		rows = append(rows, row{name: name, raw: get + strings.Join(test.in, "\r\n") + "\r\n\r\n", want: want, seen: sent("GET /", test.out...)})
	}
	corpus(t, rows)
}

// Header fields that an app may not send are dropped, in any spelling and number.
func TestHeadersThatAreDropped(t *testing.T) {
	var rows []row
	for _, header := range []string{
		"Authorization: Bearer x", "authorization: Bearer x", "AUTHORIZATION: Basic eDp5", "aUtHoRiZaTiOn: x", "Authorization:", "Authorization:x",
		"Authorization: Bearer x\r\nAuthorization: Bearer y", "Authorization: a\r\nX-A: 1\r\nauthorization: b", "Authorization: Bearer x, Bearer y",
		"Authorization: \xff", "Authorization: Bearer " + strings.Repeat("x", 100_000),
		"Proxy-Authorization: Basic eDp5", "proxy-authorization: x\r\nPROXY-AUTHORIZATION: y", "Proxy_Authorization: x", "PROXY_AUTHORIZATION: x",
		"Forwarded: for=1.2.3.4;host=evil.example", "FORWARDED: for=1.2.3.4\r\nForwarded: for=5.6.7.8",
		"X-Forwarded-For: 1.2.3.4", "x-forwarded-for: a\r\nX-Forwarded-For: b", "X_Forwarded_For: 1.2.3.4", "X-Forwarded_For: a", "x_forwarded-for: a",
		"X-Forwarded-Host: evil.example", "X_FORWARDED_HOST: evil.example", "X-Forwarded-Proto: https", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /x",
		"X-Forwarded-Server: a", "X-Forwarded-User: root", "X-Forwarded-: a", "X-Real-IP: 1.2.3.4", "x_real_ip: 1.2.3.4", "X-Real_Ip: a",
		"Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Proxy-Authenticate: Basic", "TE: gzip", "TE:", "Trailer: X-Sum", "Trailer: Authorization",
		"Connection:", "Connection: keep-alive", "Connection: ,,", "Connection: X-Hop\r\nX-Hop: 1", "Connection:\r\nConnection: X-Hop\r\nX-Hop: 1", "Connection: x-hOP\r\nX-Hop: 1\r\nX-Hop: 2",
		"Connection: Authorization", "Connection: Authorization\r\nAuthorization: x", "Connection: authorization, Proxy-Authorization\r\nProxy-Authorization: x",
		"Connection: Host", "Connection: Content-Length, Transfer-Encoding", "Connection: TE, Trailer\r\nTE: gzip\r\nTrailer: X-Sum",
		"Connection: Proxy-Authorization, Proxy-Connection, Keep-Alive", "Connection: Connection", "Connection: Cookie\r\nCookie: a=b", "Connection: X-Forwarded-For\r\nX-Forwarded-For: a",
		"Connection: User-Agent\r\nUser-Agent: a", "Connection: ;", "Connection: \xff",
		"Upgrade: websocket", "Upgrade: h2c", "Connection: Upgrade", "Connection: Upgrade\r\nUpgrade: h2c", "Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
		"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", "Connection: Upgrade\r\nUpgrade: TLS/1.2", "Connection: Upgrade\r\nUpgrade: websocket, h2c", "Connection: Upgrade\r\nUpgrade: h2c, websocket",
		"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c", "Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket", "Connection: Upgrade\r\nUpgrade:", "Connection: Upgrade\r\nUpgrade: websocket/13",
		"Connection: Upgrade\r\nUpgrade: web\xffsocket", "Connection: keep-alive\r\nUpgrade: websocket", "Connection: Upgrades\r\nUpgrade: websocket",
	} {
		seen := sent("GET /")
		if strings.Contains(header, "X-A: 1") {
			seen = sent("GET /", auth, "X-A: 1")
		}
		rows = append(rows, row{name: fmt.Sprintf("%.90q", header), raw: get + header + "\r\n\r\n", want: "200", seen: seen, once: len(header) > 1000})
	}
	cookieless := func(w *fixture) { w.upstream.Cookies = false }
	for _, header := range []string{"Cookie: a=b", "cookie: a=b\r\nCOOKIE: c=d", "Cookie:"} {
		rows = append(rows, row{name: header + ", cookies dropped", setup: cookieless, raw: get + header + "\r\n\r\n", want: "200", seen: sent("GET /")})
	}
	abc := sent("POST /", "Content-Length: 3", auth) + "abc"
	rows = append(rows,
		row{name: "a close", raw: get + "Connection: close\r\n\r\n", want: "200, close", seen: sent("GET /")},
		row{name: "a close among others", raw: get + "Connection: X-Hop, CLOSE\r\nX-Hop: 1\r\n\r\n", want: "200, close", seen: sent("GET /")},
		row{name: "Content-Length named in Connection", raw: post + "Connection: Content-Length\r\nContent-Length: 3\r\n\r\nabc", want: "200", seen: abc},
		row{name: "Transfer-Encoding named in Connection", raw: post + "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", want: "200", seen: sent("POST /", "Transfer-Encoding: chunked", auth) + "3\r\nabc\r\n0\r\n\r\n"},
		row{name: "Expect named in Connection", raw: post + "Connection: Expect\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", want: "100, 200", seen: abc},
		row{name: "Content-Type named in Connection", raw: post + "Connection: Content-Type\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nabc", want: "200", seen: abc},
	)
	corpus(t, rows)
}

// WebSocket is the only protocol to upgrade to, from HTTP/1.1 on (RFC 9110, section 7.8).
func TestUpgrades(t *testing.T) {
	const handshake = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
	out := sent("GET /", auth, "Connection: Upgrade", "Sec-Websocket-Key: eA==", "Sec-Websocket-Version: 13", "Upgrade: websocket")
	rows := []row{
		{name: "websocket", raw: get + "Connection: Upgrade\r\nUpgrade: websocket\r\n" + handshake + "\r\n", want: "101, waits", seen: out},
		{name: "any case", raw: get + "connection: keep-alive, uPGRADE\r\nupgrade: WebSocket\r\n" + handshake + "\r\n", want: "101, waits", seen: strings.Replace(out, "websocket\r\n\r\n", "WebSocket\r\n\r\n", 1)},
		{name: "with the app's Authorization", raw: get + "Connection: Upgrade, Authorization\r\nAuthorization: x\r\nUpgrade: websocket\r\n" + handshake + "\r\n", want: "101, waits", seen: out},
		{name: "in HTTP/1.0", raw: "GET / HTTP/1.0\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + handshake + "\r\n", want: "200, close", seen: sent("GET /", auth, "Sec-Websocket-Key: eA==", "Sec-Websocket-Version: 13")},
		{name: "from a foreign page", raw: get + "Origin: https://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + handshake + "\r\n", want: "403 cross_site"},
		{name: "to a foreign Host", raw: "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + handshake + "\r\n", want: "421 host_not_allowed"},
	}
	corpus(t, rows)
}

// tcp accepts connections with a local TCP address.
type tcp struct {
	*memory
	addr *net.TCPAddr
}

func (l tcp) Accept() (net.Conn, error) {
	c, err := l.memory.Accept()
	return tcpConn{c, l.addr}, err
}

type tcpConn struct {
	net.Conn
	addr *net.TCPAddr
}

func (c tcpConn) LocalAddr() net.Addr { return c.addr }

func onTCP(w *fixture) {
	w.front = tcp{newMemory(), &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 8080}}
	w.guard.Hosts = []string{"park.internal", "fd00::5"}
}

func TestHosts(t *testing.T) {
	var rows []row
	for want, hosts := range map[string][]string{
		"200": {
			"localhost", "localhost:8080", "localhost:", "LOCALHOST", "LocalHost:80", " localhost ", "\tlocalhost", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8080",
			"192.0.2.7", "192.0.2.7:8080", "[::ffff:192.0.2.7]:8080", "park.internal", "PARK.Internal.:1", "[fd00::5]", "[FD00::5]:80",
		},
		"421 host_not_allowed": {
			"", "evil.example", "evil.example:8080", "EVIL.EXAMPLE", "localhost.evil.example", "evil.example.localhost", "xlocalhost", "localhostx", "localhost.", "LocalHost.:80", "localhost..", ".localhost", "a.localhost",
			"127.0.0.2", "127.1", "127.0.0.1.nip.io", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "0.0.0.0", "0", "[::]", "127.0.0.1.", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[0:0:0:0:0:0:0:1%25lo]",
			"192.0.2.8", "192.0.2.7.evil.example", "[fd00::6]", "[fd00:0::5]", "a.park.internal", "park.internal.evil.example", "evilpark.internal",
			"localhost:80:80", "localhost:abc", "localhost:80x", "[localhost]", "[localhost]:80", "[::1", "[::1]80", "::1]", "localhost,evil.example", "localhost%00", "localhost%2eevil.example", "api.test",
		},
		"400 bad_request, close": {
			"localhost@evil.example", "evil.example@localhost", "user:pw@localhost", "localhost:80@evil.example",
			"localhost\r\nHost: localhost", "localhost\r\nhost: evil.example", "evil.example\r\nHost: localhost", "localhost\r\nHost:", "local host", "localhost/", "localhost/evil", "localhost\\evil", "localhost?", "localhost#",
			"\uff4cocalhost", "local\u00adhost", "localhost\x00", "localhost\r", "http://localhost", "<localhost>", `"localhost"`, "localhost\tevil.example", "localhost\xff",
		},
	} {
		for _, host := range hosts {
			seen := ""
			if want == "200" {
				seen = sent("GET /")
			}
			rows = append(rows, row{name: fmt.Sprintf("%q", host), setup: onTCP, raw: "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n", want: want, seen: seen})
		}
	}
	rows = append(rows,
		row{name: "none", raw: "GET / HTTP/1.1\r\n\r\n", want: "400 bad_request, close"},
		row{name: "none, HTTP/1.0", raw: "GET / HTTP/1.0\r\n\r\n", want: "421 host_not_allowed, close"},
		row{name: "space before the colon", raw: "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", want: "400 bad_request, close"},
		row{name: "underscore", raw: "GET / HTTP/1.1\r\nH_ost: localhost\r\n\r\n", want: "400 bad_request, close"},
		row{name: "X-Forwarded-Host in its place", raw: "GET / HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost\r\n\r\n", want: "421 host_not_allowed"},
		row{name: "X-Forwarded-Host beside it", raw: get + "X-Forwarded-Host: evil.example\r\n\r\n", want: "200", seen: sent("GET /")},
		row{name: "last of many headers", raw: "GET / HTTP/1.1\r\nX-A: 1\r\n" + local, want: "200", seen: sent("GET /", auth, "X-A: 1")},
		row{name: "lower case name", raw: "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", want: "200", seen: sent("GET /")},
	)
	corpus(t, rows)
}
