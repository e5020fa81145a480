package proxy_test

import "testing"

// conflict is what comes of a request that is framed in two ways.
const conflict = "400 bad_request, close"

// A length and an encoding at a time are two framings (RFC 9112, section 6.1):
// the request is refused, and the connection with it.
func TestLengthTogetherWithAnEncoding(t *testing.T) {
	const after = "3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n" + local
	var rows []row
	for name, header := range map[string]string{
		"length first":          "Content-Length: 3\r\nTransfer-Encoding: chunked",
		"encoding first":        "Transfer-Encoding: chunked\r\nContent-Length: 3",
		"length of zero":        "Content-Length: 0\r\nTransfer-Encoding: chunked",
		"length that fits":      "Content-Length: 13\r\nTransfer-Encoding: chunked",
		"length of it all":      "Content-Length: 59\r\nTransfer-Encoding: chunked",
		"length twice":          "Content-Length: 3\r\nTransfer-Encoding: chunked\r\nContent-Length: 3",
		"spelled otherwise":     "cONTENT-lENGTH: 3\r\ntRANSFER-eNCODING: cHUNKED",
		"no space":              "Content-Length:3\r\nTransfer-Encoding:chunked",
		"spaces and tabs":       "Content-Length: \t3 \r\nTransfer-Encoding:\t chunked\t",
		"folded encoding":       "Content-Length: 3\r\nTransfer-Encoding:\r\n chunked",
		"folded length":         "Content-Length:\r\n\t3\r\nTransfer-Encoding: chunked",
		"far apart":             "Content-Length: 3\r\n" + numbered(500) + "Transfer-Encoding: chunked",
		"lines that end in LF":  "Content-Length: 3\nTransfer-Encoding: chunked",
		"named as a hop's":      "Connection: Content-Length\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
		"with an expectation":   "Expect: 100-continue\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
		"with trailers":         "Trailer: X-Sum\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
		"a length in a trailer": "Transfer-Encoding: chunked\r\nContent-Length: 3\r\nTrailer: X-Sum",
	} {
		rows = append(rows, row{name: name, raw: post + header + "\r\n\r\n" + after, want: conflict})
	}
	rows = append(rows,
		row{name: "of a GET", raw: get + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + after, want: conflict},
		row{name: "of the second request", raw: get + "\r\n" + post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + after, want: "200, " + conflict, seen: sent("GET /")},
		row{name: "of the second request after a body", raw: post + "Content-Length: 4\r\n\r\nbody" + post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + after, want: "200, " + conflict, seen: sent("POST /", "Content-Length: 4", auth) + "body"},
		row{name: "of a refused app", raw: "POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + after, want: conflict},
		row{name: "which a body only looks like", raw: post + "Content-Length: 47\r\n\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n", want: "200", seen: sent("POST /", "Content-Length: 47", auth) + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"},
	)
	corpus(t, rows)
}

// HTTP/1.0 knows no encoding: a message that has one is framed faultily (RFC
// 9112, section 6.1), and its body would be lost.
func TestEncodingsInHTTP10(t *testing.T) {
	const start = "POST / HTTP/1.0\r\nHost: localhost\r\n"
	corpus(t, []row{
		{name: "an encoding", raw: start + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", want: conflict},
		{name: "an encoding on a connection that stays", raw: start + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", want: conflict},
		{name: "a length together with it", raw: start + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", want: conflict},
		{name: "both, on a connection that stays", raw: start + "Connection: keep-alive\r\nContent-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\n" + local, want: conflict},
		{name: "identity", raw: start + "Content-Length: 3\r\nTransfer-Encoding: identity\r\n\r\nabc", want: conflict},
	})
}

// HTTP/2 is not spoken, whatever comes after its preface's first line.
func TestPrefaceWithAHeader(t *testing.T) {
	corpus(t, []row{{name: "a Host", raw: "PRI * HTTP/2.0\r\n" + local + "SM\r\n\r\n", want: "505 not_implemented, close"}})
}
