package e2e

import (
	"fmt"
	"strings"
)

const plainReply = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

// exchangeCases returns ordinary and unusual requests and answers. api is the API's
// address.
func exchangeCases(api string) []exchangeCase {
	var all []exchangeCase
	// request adds a case for a request; rest follows the Host header.
	request := func(name, line, rest string) {
		all = append(all, exchangeCase{name: name, send: line + " HTTP/1.1\r\nHost: localhost\r\n" + rest, reply: plainReply})
	}
	header := func(name string, lines ...string) {
		request(name, "GET /a", strings.Join(lines, "\r\n")+"\r\n\r\n")
	}
	// response adds a case for an answer.
	response := func(name string, lines ...string) {
		all = append(all, exchangeCase{name: name, send: "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n", reply: strings.Join(lines, "\r\n")})
	}
	date := "Date: Sun, 06 Nov 1994 08:49:37 GMT"
	closeConn := func() { all[len(all)-1].closeConn = true }

	for _, line := range []string{
		"GET /a", "HEAD /a", "OPTIONS /a", "OPTIONS *", "DELETE /a", "PROPFIND /a", "get /a", "TRACE /a", "CONNECT localhost:1",
		"GET //a//b/", "GET /a/../b", "GET /a/./b", "GET /a%2Fb", "GET /a%2fb", "GET /%2e%2e/a", "GET /ä", `GET /{"a"}|b`, "GET /a;v=1/b", "GET /a#b",
		"GET /a?b[c][]=1&b[c][]=2", "GET /a?b;c=1;d", "GET /a?%zz=%&=%1", "GET /a?", "GET /a?a=1&&&=&a=1&", "GET /a?b=ä|\"{}",
		"GET http://localhost/a?b", "GET /a?page=0&access_token=abc&b[]=1",
	} {
		request("request line "+line, line, "\r\n")
	}
	request("a query of 6,000 bytes", "GET /a?"+strings.Repeat("f[]=1&", 1000), "\r\n")
	request("a body with its length", "POST /a", "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}")
	request("an empty body", "POST /a", "Content-Length: 0\r\n\r\n")
	for _, method := range []string{"POST", "PUT", "PATCH"} {
		request(method+" without a body", method+" /a", "\r\n")
	}
	request("DELETE with a body", "DELETE /a", "Content-Length: 3\r\n\r\nabc")
	request("GET with a body", "GET /a", "Content-Length: 3\r\n\r\nabc")
	request("a chunked body", "POST /a", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n")
	request("a chunked body with trailers", "POST /a", "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
	request("a body after Expect: 100-continue", "POST /a", "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
	request("a gzip-encoded body", "POST /a", "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x00")

	header("header order", "User-Agent: app/1", "Accept: */*", "X-B: 1", "X-A: 2", "Content-Type: text/plain", "Accept-Language: de")
	header("header names in lower case", "user-agent: app/1", "accept: */*", "x-count: 1", "X-UPPER: 2")
	header("headers given twice", "X-A: 1", "X-B: 2", "X-A: 1", "X-A: 3")
	header("headers without a value", "X-A:", "X-B: ")
	header("header values with spaces and tabs", "X-A:   b  c  ", "X-B:\tb")
	header("headers beyond ASCII", "X-A: Zürich", "X-B: \xe4")
	header("headers with underscores", "X_A: 1", "company_id: 2")
	header("headers with a dot", "X.A: 1")
	header("100 headers", strings.TrimSuffix(strings.Repeat("X-A: 1\r\n", 100), "\r\n"))
	header("a header of 6,000 bytes", "X-A: "+strings.Repeat("a", 6000))
	header("other headers", "Company: 1", "Accept-Encoding: br, gzip", "Range: bytes=0-1", "If-None-Match: \"a\"", "Idempotency-Key: b", "Via: 1.1 a", "Max-Forwards: 3", "DNT: 1")
	header("Authorization", "Authorization: Bearer mine", "Proxy-Authorization: Basic eDp5")
	header("Authorization twice", "Authorization: Bearer mine", "authorization: Basic eDp5")
	header("Cookie", "Cookie: a=1; b=2")
	header("forwarding headers", "Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: a", "X-Forwarded-Proto: https", "X-Real-IP: 1.2.3.4", "X_Forwarded_For: 1.2.3.4")
	header("hop-by-hop headers", "Connection: X-Hop, keep-alive", "X-Hop: 1", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive")
	header("Connection: close", "Connection: close")
	header("TE", "TE: trailers", "Connection: TE")
	header("an upgrade to h2c", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
	header("a web page of another origin", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site")
	all = append(all,
		exchangeCase{name: "HTTP/1.0", send: "GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n", reply: plainReply},
		exchangeCase{name: "HTTP/1.0 without a Host", send: "GET /a HTTP/1.0\r\n\r\n", reply: plainReply},
		exchangeCase{name: "a Host that is not allowed", send: "GET /a HTTP/1.1\r\nHost: evil.example\r\n\r\n", reply: plainReply},
	)
	request("the app's own OAuth", "POST /oauth/v2/token", "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 24\r\n\r\ngrant_type=refresh_token")
	request("an upgrade to WebSocket", "GET /socket", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	all[len(all)-1].reply = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x02hi"
	closeConn()

	response("a chunked answer", "HTTP/1.1 200 OK", date, "Content-Type: text/plain", "Transfer-Encoding: chunked", "", "3", "abc", "4", "defg", "0", "", "")
	response("an answer with trailers", "HTTP/1.1 200 OK", date, "Content-Type: text/plain", "Trailer: X-Sum", "Transfer-Encoding: chunked", "", "3", "abc", "0", "X-Sum: 1", "", "")
	response("an answer with trailers that were not announced", "HTTP/1.1 200 OK", date, "Content-Type: text/plain", "Transfer-Encoding: chunked", "", "3", "abc", "0", "X-Sum: 1", "", "")
	response("an answer that ends when the connection closes", "HTTP/1.1 200 OK", date, "Content-Type: text/plain", "", "abc")
	closeConn()
	response("an answer of HTTP/1.0", "HTTP/1.0 200 OK", date, "Content-Type: text/plain", "", "abc")
	closeConn()
	response("an answer with Connection: close", "HTTP/1.1 200 OK", date, "Connection: close", "Content-Type: text/plain", "Content-Length: 3", "", "abc")
	closeConn()
	response("an empty answer", "HTTP/1.1 200 OK", date, "Content-Length: 0", "", "")
	response("an answer without a type", "HTTP/1.1 200 OK", date, "Content-Length: 6", "", "<html>")
	response("an answer without a date", "HTTP/1.1 200 OK", "Content-Type: text/plain", "Content-Length: 3", "", "abc")
	response("a custom reason phrase", "HTTP/1.1 200 Fine by me", date, "Content-Type: text/plain", "Content-Length: 3", "", "abc")
	response("no reason phrase", "HTTP/1.1 200 ", date, "Content-Type: text/plain", "Content-Length: 3", "", "abc")
	for _, status := range []string{"201 Created", "206 Partial Content", "299 Odd", "400 Bad Request", "404 Not Found", "422 Unprocessable Entity", "429 Too Many Requests", "500 Internal Server Error", "503 Service Unavailable", "599 Odd"} {
		response("status "+status, "HTTP/1.1 "+status, date, "Content-Type: text/plain", "Retry-After: 3", "Content-Length: 3", "", "abc")
	}
	response("204", "HTTP/1.1 204 No Content", date, "", "")
	response("304", "HTTP/1.1 304 Not Modified", date, `ETag: "a"`, "Content-Type: text/plain", "Content-Length: 3", "", "")
	response("401", "HTTP/1.1 401 Unauthorized", date, "WWW-Authenticate: Bearer", "Content-Type: text/plain", "Content-Length: 3", "", "abc")
	response("early hints", "HTTP/1.1 103 Early Hints", "Link: </a>; rel=preload", "", "HTTP/1.1 200 OK", date, "Content-Type: text/plain", "Content-Length: 3", "", "abc")
	response("a redirect to the API", "HTTP/1.1 302 Found", date, "Location: http://"+api+"/b?c", "Content-Length: 0", "", "")
	response("a redirect elsewhere", "HTTP/1.1 302 Found", date, "Location: https://elsewhere.example/b", "Content-Length: 0", "", "")
	response("a redirect by path", "HTTP/1.1 302 Found", date, "Location: /b", "Content-Length: 0", "", "")
	response("201 with a Location", "HTTP/1.1 201 Created", date, "Location: http://"+api+"/b/1", "Content-Length: 0", "", "")
	response("Set-Cookie", "HTTP/1.1 200 OK", date, "Set-Cookie: a=1", "Set-Cookie: b=2", "Content-Length: 0", "", "")
	response("header order of an answer", "HTTP/1.1 200 OK", "Server: api/1", date, "X-B: 1", "X-A: 2", "Content-Type: text/plain", "Cache-Control: no-store", "Content-Length: 3", "", "abc")
	response("header names of an answer in lower case", "HTTP/1.1 200 OK", "date: Sun, 06 Nov 1994 08:49:37 GMT", "x-count: 1", "X-UPPER: 2", "content-type: text/plain", "content-length: 3", "", "abc")
	response("headers of an answer given twice", "HTTP/1.1 200 OK", date, "Link: <a>", "X-A: 1", "Link: <b>", "Vary: Accept", "Vary: Origin", "Content-Length: 0", "", "")
	response("headers of an answer beyond ASCII", "HTTP/1.1 200 OK", date, "X-A: Zürich", "X-B: \xe4", "X_C: 1", "X-D:", "Content-Length: 0", "", "")
	response("hop-by-hop headers of an answer", "HTTP/1.1 200 OK", date, "Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "Content-Length: 0", "", "")
	response("a gzip-encoded answer", "HTTP/1.1 200 OK", date, "Content-Type: text/html", "Content-Encoding: gzip", "Content-Length: 3", "", "\x1f\x8b\x00")
	response("CORS headers of the API", "HTTP/1.1 200 OK", date, "Access-Control-Allow-Origin: *", "Content-Length: 0", "", "")
	response("Ticketproxy-Error from the API", "HTTP/1.1 200 OK", date, "Ticketproxy-Error: x", "Content-Length: 0", "", "")
	response("headers that control nginx", "HTTP/1.1 200 OK", date, "X-Accel-Expires: 0", "X-Accel-Buffering: no", "X-Powered-By: a", "Content-Length: 0", "", "")
	response("an answer of 100,000 bytes", "HTTP/1.1 200 OK", date, "Content-Type: text/plain", fmt.Sprintf("Content-Length: %d", 100_000), "", strings.Repeat("abcdefghij", 10_000))
	return all
}
