package proxy_test

import (
	"fmt"
	"strings"
	"testing"
)

const post = "POST / HTTP/1.1\r\nHost: localhost\r\n"

// The end of a body is never ambiguous (RFC 9112, section 6): a request whose framing
// could be read in two ways is refused.
func TestLengthsThatCouldBeReadInTwoWays(t *testing.T) {
	three := sent("POST /", "Content-Length: 3", auth) + "abc"
	rows := []row{
		{name: "plain", raw: post + "Content-Length: 3\r\n\r\nabc", want: "200", seen: three},
		{name: "no space", raw: post + "Content-Length:3\r\n\r\nabc", want: "200", seen: three},
		{name: "spaces and tabs around", raw: post + "Content-Length: \t 3 \t\r\n\r\nabc", want: "200", seen: three},
		{name: "lower case", raw: post + "content-length: 3\r\n\r\nabc", want: "200", seen: three},
		{name: "zero", raw: post + "Content-Length: 0\r\n\r\n", want: "200", seen: sent("POST /", "Content-Length: 0", auth)},
		{name: "absent", raw: post + "\r\n", want: "200", seen: sent("POST /")},
		{name: "leading zeros", raw: post + "Content-Length: 0003\r\n\r\nabc", want: "200", seen: three},
		{name: "twice, equal", raw: post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", want: "200", seen: three},
		{name: "shorter than the rest", raw: post + "Content-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n" + local, want: "200, 200", seen: three + sent("GET /b")},
		{name: "longer than the rest", raw: post + "Content-Length: 9\r\n\r\nabc", want: "waits", seen: sent("POST /", "Content-Length: 9", auth) + "abc", once: true},
	}
	for name, lengths := range map[string][]string{
		"plus":                {"+3"},
		"minus":               {"-3"},
		"minus zero":          {"-0"},
		"hexadecimal":         {"0x3"},
		"octal":               {"0o3"},
		"underscore":          {"1_0"},
		"exponent":            {"3e0"},
		"fraction":            {"3.0"},
		"list of equals":      {"3, 3"},
		"list of different":   {"3, 4"},
		"comma after":         {"3,"},
		"two words":           {"3 4"},
		"semicolon":           {"3;"},
		"quoted":              {`"3"`},
		"empty":               {""},
		"letters":             {"abc"},
		"past 64 bits":        {"18446744073709551619"},
		"past 63 bits":        {"9223372036854775808"},
		"full-width digit":    {"３"},
		"vertical tab":        {"\v3"},
		"no-break space":      {"3\u00a0"},
		"different":           {"3", "4"},
		"different, reversed": {"4", "3"},
		"two spellings":       {"3", "03"},
		"one empty":           {"3", ""},
		"one bad":             {"3", "-3"},
		"on two lines":        {"3\r\n 4"},
	} {
		head := post
		for _, length := range lengths {
			head += "Content-Length: " + length + "\r\n"
		}
		rows = append(rows, row{name: name, raw: head + "\r\nabcdGET /smuggled HTTP/1.1\r\n" + local, want: "400 bad_request, close"})
	}
	corpus(t, rows)
}

func TestTransferEncodingsThatCouldBeReadInTwoWays(t *testing.T) {
	chunks := sent("POST /", "Transfer-Encoding: chunked", auth) + "3\r\nabc\r\n0\r\n\r\n"
	const body = "3\r\nabc\r\n0\r\n\r\n"
	rows := []row{
		{name: "chunked", raw: post + "Transfer-Encoding: chunked\r\n\r\n" + body, want: "200", seen: chunks},
		{name: "any case", raw: post + "tRANSFER-eNCODING: cHUNKED\r\n\r\n" + body, want: "200", seen: chunks},
		{name: "spaces and tabs around", raw: post + "Transfer-Encoding: \t chunked \t\r\n\r\n" + body, want: "200", seen: chunks},
		{name: "folded", raw: post + "Transfer-Encoding:\r\n chunked\r\n\r\n" + body, want: "200", seen: chunks},
		{name: "no body", raw: post + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: "200", seen: sent("POST /", "Transfer-Encoding: chunked", auth) + "0\r\n\r\n"},
		{name: "of a GET", raw: "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + body, want: "200", seen: sent("GET /", "Transfer-Encoding: chunked", auth) + body},
		{name: "of a GET with no body", raw: "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: "200", seen: sent("GET /", "Transfer-Encoding: chunked", auth) + "0\r\n\r\n"},
		{name: "space before the colon", raw: post + "Transfer-Encoding : chunked\r\n\r\n" + body, want: "400 bad_request, close"},
		{name: "tab before the colon", raw: post + "Transfer-Encoding\t: chunked\r\n\r\n" + body, want: "400 bad_request, close"},
		{name: "space before the name", raw: "POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: localhost\r\n\r\n" + body, want: "400 bad_request, close"},
		{name: "bare CR before the name", raw: post + "X: y\rTransfer-Encoding: chunked\r\n\r\n" + body, want: "400 bad_request, close"},
		{name: "bare LF before the name", raw: post + "X: y\nTransfer-Encoding: chunked\r\n\r\n" + body, want: "200", seen: sent("POST /", "Transfer-Encoding: chunked", auth, "X: y") + body},
		{name: "vertical tab before", raw: post + "Transfer-Encoding: \vchunked\r\n\r\n" + body, want: "400 bad_request, close"},
		{name: "form feed after", raw: post + "Transfer-Encoding: chunked\f\r\n\r\n" + body, want: "400 bad_request, close"},
		{name: "NUL in the name", raw: post + "Transfer-\x00Encoding: chunked\r\n\r\n" + body, want: "400 bad_request, close"},
		{name: "NUL after the value", raw: post + "Transfer-Encoding: chunked\x00\r\n\r\n" + body, want: "400 bad_request, close"},
	}
	for name, encodings := range map[string][]string{
		"x before":            {"xchunked"},
		"x after":             {"chunkedx"},
		"quoted":              {`"chunked"`},
		"in apostrophes":      {"'chunked'"},
		"parameter":           {"chunked;a=b"},
		"comma before":        {", chunked"},
		"comma after":         {"chunked,"},
		"identity":            {"identity"},
		"chunked, identity":   {"chunked, identity"},
		"identity, chunked":   {"identity, chunked"},
		"chunked, chunked":    {"chunked, chunked"},
		"gzip, chunked":       {"gzip, chunked"},
		"gzip":                {"gzip"},
		"trailers":            {"trailers"},
		"cow":                 {"cow"},
		"twice":               {"chunked", "chunked"},
		"twice, identity":     {"chunked", "identity"},
		"twice, other first":  {"cow", "chunked"},
		"twice, an empty one": {"", "chunked"},
		"empty":               {""},
		"folded in the word":  {"chun\r\n ked"},
		"folded list":         {"chunked,\r\n identity"},
		"Kelvin sign":         {"chun\u212aed"},
		"no-break space":      {"\u00a0chunked"},
	} {
		head := post
		for _, encoding := range encodings {
			head += "Transfer-Encoding: " + encoding + "\r\n"
		}
		rows = append(rows, row{name: name, raw: head + "\r\n" + body + "GET /smuggled HTTP/1.1\r\n" + local, want: "501 not_implemented, close"})
	}
	corpus(t, rows)
}

// A body with a faulty chunk goes out without an end, and the app's connection is closed.
func TestChunksThatCouldBeReadInTwoWays(t *testing.T) {
	const chunked = post + "Transfer-Encoding: chunked\r\n\r\n"
	out := sent("POST /", "Transfer-Encoding: chunked", auth)
	abc := out + "3\r\nabc\r\n0\r\n\r\n"
	rows := []row{
		{name: "several", raw: chunked + "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", want: "200", seen: abc},
		{name: "leading zeros", raw: chunked + "0003\r\nabc\r\n000\r\n\r\n", want: "200", seen: abc},
		{name: "upper case", raw: chunked + "A\r\n0123456789\r\n0\r\n\r\n", want: "200", seen: out + "a\r\n0123456789\r\n0\r\n\r\n"},
		{name: "lower case", raw: chunked + "a\r\n0123456789\r\n0\r\n\r\n", want: "200", seen: out + "a\r\n0123456789\r\n0\r\n\r\n"},
		{name: "extension", raw: chunked + "3;a=b;c=\"d\"\r\nabc\r\n0;e\r\n\r\n", want: "200", seen: abc},
		{name: "extension with a forged header", raw: chunked + "3;Authorization: Bearer x\r\nabc\r\n0\r\n\r\n", want: "200", seen: abc},
		{name: "trailing spaces", raw: chunked + "3 \t \r\nabc\r\n0  \r\n\r\n", want: "200", seen: abc},
		{name: "a request within", raw: chunked + "2b\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n0\r\n\r\n", want: "200", seen: out + "2b\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n0\r\n\r\n"},
		{name: "a request after", raw: chunked + "3\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\n" + local, want: "200, 200", seen: abc + sent("GET /b")},
		{name: "without an end", raw: chunked + "3\r\nabc\r\n", want: "waits", seen: out + "3\r\nabc\r\n", once: true},
		{name: "without the last line", raw: chunked + "3\r\nabc\r\n0\r\n", want: "waits", seen: out + "3\r\nabc\r\n", once: true},
		{name: "without an announced trailer", raw: post + "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", want: "200", seen: abc},
	}
	for name, body := range map[string]string{
		"0x":                     "0x3\r\nabc\r\n0\r\n\r\n",
		"0X":                     "0X3\r\nabc\r\n0\r\n\r\n",
		"plus":                   "+3\r\nabc\r\n0\r\n\r\n",
		"minus":                  "-3\r\nabc\r\n0\r\n\r\n",
		"minus zero":             "-0\r\n\r\n",
		"no size":                "\r\nabc\r\n0\r\n\r\n",
		"extension alone":        ";a=b\r\nabc\r\n0\r\n\r\n",
		"not hexadecimal":        "g\r\nabc\r\n0\r\n\r\n",
		"underscore":             "0_3\r\nabc\r\n0\r\n\r\n",
		"past 64 bits":           "10000000000000003\r\nabc\r\n0\r\n\r\n",
		"space within":           "0 3\r\nabc\r\n0\r\n\r\n",
		"bare CR after the size": "3\rabc\r\n0\r\n\r\n",
		"NUL after the size":     "3\x00\r\nabc\r\n0\r\n\r\n",
		"vertical tab after":     "3\v\r\nabc\r\n0\r\n\r\n",
		"full-width digit":       "３\r\nabc\r\n0\r\n\r\n",
		"very long size line":    strings.Repeat("0", 5000) + "3\r\nabc\r\n0\r\n\r\n",
		"very long extension":    "3;" + strings.Repeat("a", 5000) + "\r\nabc\r\n0\r\n\r\n",
		"a request, not a chunk": "GET /smuggled HTTP/1.1\r\n" + local,
	} {
		rows = append(rows, row{name: name, raw: chunked + body, want: "400 bad_request, close", seen: out, once: true})
	}
	for name, body := range map[string]string{
		"no CR LF after the chunk":   "3\r\nabc0\r\n\r\n",
		"bare CR after the chunk":    "3\r\nabc\r0\r\n\r\n",
		"chunk longer than its size": "3\r\nabcd\r\n0\r\n\r\n",
		"last size not a number":     "3\r\nabc\r\nx\r\n\r\n",
	} {
		rows = append(rows, row{name: name, raw: chunked + body, want: "400 bad_request, close", seen: out + "3\r\nabc\r\n", once: true})
	}
	// These look whole, so the body is read before anything is sent.
	for name, body := range map[string]string{
		"chunk shorter than its size": "3\r\nab\r\n0\r\n\r\n",
		"many zeros":                  "00000000000000003\r\nabc\r\n0\r\n\r\n",
		"leading space":               " 3\r\nabc\r\n0\r\n\r\n",
		"bare LF after the size":      "3\nabc\r\n0\r\n\r\n",
		"bare LF in the extension":    "3;a\nabc\r\n0\r\n\r\n",
		"bare CR in the extension":    "3;a\rb\r\nabc\r\n0\r\n\r\n",
		"bare LF after the last size": "0\n\r\n",
		"extension's CR LF misplaced": "3;a\r\r\nabc\r\n0\r\n\r\n",
		"bare LF after the chunk":     "3\r\nabc\n0\r\n\r\n",
	} {
		rows = append(rows, row{name: name, raw: chunked + body, want: "400 bad_request, close", once: true})
	}
	corpus(t, rows)
}

// An app's trailers come after the guard has checked the request, so none goes out.
func TestRequestTrailersAreDropped(t *testing.T) {
	const chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
	abc := sent("POST /", "Transfer-Encoding: chunked", auth) + "3\r\nabc\r\n0\r\n\r\n"
	rows := []row{
		{name: "bare LF between", raw: post + chunked + "X-Sum: 1\nX-Other: 2\r\n\r\n", want: "200", seen: abc},
		{name: "announcing a length", raw: post + "Trailer: Content-Length\r\n" + chunked + "Content-Length: 3\r\n\r\n", want: "400 bad_request, close"},
		{name: "announcing an encoding", raw: post + "Trailer: Transfer-Encoding\r\n" + chunked + "Transfer-Encoding: chunked\r\n\r\n", want: "400 bad_request, close"},
		{name: "announcing trailers", raw: post + "Trailer: X-Sum, Trailer\r\n" + chunked + "Trailer: x\r\n\r\n", want: "400 bad_request, close"},
		{name: "announced with a length", raw: post + "Trailer: X-Sum\r\nContent-Length: 3\r\n\r\nabc", want: "200", seen: sent("POST /", "Content-Length: 3", auth) + "abc"},
	}
	for _, trailer := range []string{
		"Authorization: Bearer x", "Host: evil.example", "Content-Length: 5", "Transfer-Encoding: chunked", "Cookie: a=b",
		"X-Forwarded-For: 1.2.3.4", "X-Sum: 1", "Proxy-Authorization: x", "Origin: https://evil.example",
	} {
		name, _, _ := strings.Cut(trailer, ":")
		rows = append(rows, row{name: trailer, raw: post + chunked + trailer + "\r\n\r\n", want: "200", seen: abc})
		if name != "Content-Length" && name != "Transfer-Encoding" {
			rows = append(rows, row{name: trailer + ", announced", raw: post + "Trailer: " + name + "\r\n" + chunked + trailer + "\r\n\r\n", want: "200", seen: abc})
		}
	}
	corpus(t, rows)
}

func TestBodiesOfAnyMethod(t *testing.T) {
	var rows []row
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "SEARCH", "FROB"} {
		start := method + " / HTTP/1.1\r\nHost: localhost\r\n"
		rows = append(rows,
			row{name: method + ", none", raw: start + "\r\n", want: "200", seen: sent(method + " /")},
			row{name: method + ", empty", raw: start + "Content-Length: 0\r\n\r\n", want: "200", seen: sent(method+" /", "Content-Length: 0", auth)},
			row{name: method + ", null", raw: start + "Content-Type: application/json\r\nContent-Length: 4\r\n\r\nnull", want: "200", seen: sent(method+" /", "Content-Length: 4", auth, "Content-Type: application/json") + "null"},
			row{name: method + ", chunked", raw: start + "Transfer-Encoding: chunked\r\n\r\n4\r\nnull\r\n0\r\n\r\n", want: "200", seen: sent(method+" /", "Transfer-Encoding: chunked", auth) + "4\r\nnull\r\n0\r\n\r\n"},
		)
	}
	corpus(t, rows)
}

func TestRequestsInOneWrite(t *testing.T) {
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\n" + local }
	var many, manySeen, answers []string
	for i := range 50 {
		many, manySeen, answers = append(many, get(fmt.Sprint("/", i))), append(manySeen, sent(fmt.Sprint("GET /", i))), append(answers, "200")
	}
	corpus(t, []row{
		{name: "two", raw: get("/a") + get("/b"), want: "200, 200", seen: sent("GET /a") + sent("GET /b")},
		{name: "fifty", raw: strings.Join(many, ""), want: strings.Join(answers, ", "), seen: strings.Join(manySeen, "")},
		{name: "head, then get", raw: "HEAD /a HTTP/1.1\r\n" + local + get("/b"), want: "200, 200", seen: sent("HEAD /a") + sent("GET /b")},
		{name: "body, then get", raw: post + "Content-Length: 4\r\n\r\nbody" + get("/b"), want: "200, 200", seen: sent("POST /", "Content-Length: 4", auth) + "body" + sent("GET /b")},
		{name: "an extra CR LF after a body", raw: post + "Content-Length: 4\r\n\r\nbody\r\n" + get("/b"), want: "200, 200", seen: sent("POST /", "Content-Length: 4", auth) + "body" + sent("GET /b")},
		{name: "an extra CR LF without a body", raw: get("/a") + "\r\n" + get("/b"), want: "200, 400 bad_request, close", seen: sent("GET /a")},
		{name: "body of a GET without framing", raw: get("/a") + "abc", want: "200, waits", seen: sent("GET /a")},
		{name: "a refused one, then get", raw: "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n" + get("/b"), want: "421 host_not_allowed, 200", seen: sent("GET /b")},
		{name: "a refused body, then get", raw: "POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 4\r\n\r\nbody" + get("/b"), want: "421 host_not_allowed, 200", seen: sent("GET /b")},
		{name: "a refused body of chunks, then get", raw: "POST / HTTP/1.1\r\nHost: evil.example\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n" + get("/b"), want: "421 host_not_allowed, 200", seen: sent("GET /b")},
		{name: "get, then a refused one", raw: get("/a") + "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", want: "200, 421 host_not_allowed", seen: sent("GET /a")},
		{name: "get, then a bad one", raw: get("/a") + "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n" + get("/c"), want: "200, 400 bad_request, close", seen: sent("GET /a")},
		{name: "a form of a foreign page that looks like a request", raw: post + "Origin: https://evil.example\r\nContent-Type: text/plain\r\nContent-Length: 43\r\n\r\n" + get("/smuggled"), want: "403 cross_site"},
		{name: "after a close", raw: "GET /a HTTP/1.1\r\nConnection: close\r\n" + local + get("/b"), want: "200, close", seen: sent("GET /a")},
		{name: "after HTTP/1.0", raw: "GET /a HTTP/1.0\r\n" + local + get("/b"), want: "200, close", seen: sent("GET /a")},
		{name: "after HTTP/1.0 with keep-alive", raw: "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n" + local + get("/b"), want: "200, 200", seen: sent("GET /a") + sent("GET /b")},
		{name: "half a request", raw: get("/a") + "GET /b HTTP/1.1\r\nHost: loc", want: "200, waits", seen: sent("GET /a")},
		{name: "after an upgrade to HTTP/2", raw: "GET /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n" + local + get("/b"), want: "200, 200", seen: sent("GET /a") + sent("GET /b")},
	})
}

func TestExpectations(t *testing.T) {
	body := sent("POST /", "Content-Length: 4", auth, "Expect: 100-continue") + "body"
	corpus(t, []row{
		{name: "continue", raw: post + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody", want: "100, 200", seen: body},
		{name: "continue, any case", raw: post + "expect: 100-Continue\r\nContent-Length: 4\r\n\r\nbody", want: "100, 200", seen: strings.Replace(body, "100-c", "100-C", 1)},
		{name: "continue, chunked", raw: post + "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", want: "100, 200", seen: sent("POST /", "Transfer-Encoding: chunked", auth, "Expect: 100-continue") + "4\r\nbody\r\n0\r\n\r\n"},
		{name: "continue without a body", raw: post + "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", want: "200", seen: sent("POST /", "Content-Length: 0", auth, "Expect: 100-continue")},
		{name: "continue, the body not sent", raw: post + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n", want: "100, waits", seen: strings.TrimSuffix(body, "body"), once: true},
		{name: "continue to a foreign Host", raw: "POST / HTTP/1.1\r\nHost: evil.example\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n", want: "421 host_not_allowed, close", once: true},
		{name: "continue in HTTP/1.0", raw: "POST / HTTP/1.0\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody", want: "200, close", seen: body},
		{name: "something else", raw: post + "Expect: 200-ok\r\nContent-Length: 4\r\n\r\nbody", want: "417 not_implemented, close"},
		{name: "continue and more", raw: post + "Expect: 100-continue, x\r\nContent-Length: 4\r\n\r\nbody", want: "100, 200", seen: strings.Replace(body, "continue", "continue, x", 1)},
		{name: "nothing", raw: post + "Expect:\r\nContent-Length: 4\r\n\r\nbody", want: "200", seen: sent("POST /", "Content-Length: 4", auth, "Expect: ") + "body"},
	})
}
