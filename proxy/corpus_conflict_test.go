package proxy_test

import "testing"

// conflict is the answer to a request with two framings.
const conflict = "400 bad_request, close"

// A request with both a length and an encoding has two framings (RFC 9112, section 6.1).
// It is refused, and its connection is closed.
func TestLengthTogetherWithAnEncoding(t *testing.T) {
	const after = "3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n" + local
	var rows []row
	for name, header := range map[string]string{
		"length first":               "Content-Length: 3\r\nTransfer-Encoding: chunked",
		"encoding first":             "Transfer-Encoding: chunked\r\nContent-Length: 3",
		"length of zero":             "Content-Length: 0\r\nTransfer-Encoding: chunked",
		"length that fits":           "Content-Length: 13\r\nTransfer-Encoding: chunked",
		"length of all that follows": "Content-Length: 59\r\nTransfer-Encoding: chunked",
		"length twice":               "Content-Length: 3\r\nTransfer-Encoding: chunked\r\nContent-Length: 3",
		"spelled otherwise":          "cONTENT-lENGTH: 3\r\ntRANSFER-eNCODING: cHUNKED",
		"no space":                   "Content-Length:3\r\nTransfer-Encoding:chunked",
		"spaces and tabs":            "Content-Length: \t3 \r\nTransfer-Encoding:\t chunked\t",
		"folded encoding":            "Content-Length: 3\r\nTransfer-Encoding:\r\n chunked",
		"folded length":              "Content-Length:\r\n\t3\r\nTransfer-Encoding: chunked",
		"far apart":                  "Content-Length: 3\r\n" + numbered(500) + "Transfer-Encoding: chunked",
		"lines that end in LF":       "Content-Length: 3\nTransfer-Encoding: chunked",
		"named in Connection":        "Connection: Content-Length\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
		"with Expect":                "Expect: 100-continue\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
		"after Trailer":              "Trailer: X-Sum\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
		"before Trailer":             "Transfer-Encoding: chunked\r\nContent-Length: 3\r\nTrailer: X-Sum",
	} {
		rows = append(rows, row{name: name, raw: post + header + "\r\n\r\n" + after, want: conflict})
	}
	rows = append(rows,
		row{name: "of a GET", raw: get + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + after, want: conflict},
		row{name: "of the second request", raw: get + "\r\n" + post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + after, want: "200, " + conflict, seen: sent("GET /")},
		row{name: "of the second request after a body", raw: post + "Content-Length: 4\r\n\r\nbody" + post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + after, want: "200, " + conflict, seen: sent("POST /", "Content-Length: 4", auth) + "body"},
		row{name: "to a foreign Host", raw: "POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + after, want: conflict},
		row{name: "in a body only", raw: post + "Content-Length: 47\r\n\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n", want: "200", seen: sent("POST /", "Content-Length: 47", auth) + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"},
	)
	corpus(t, rows)
}

// HTTP/1.0 has no Transfer-Encoding. A message with one has faulty framing (RFC 9112,
// section 6.1), and its body would be lost.
func TestEncodingsInHTTP10(t *testing.T) {
	const start = "POST / HTTP/1.0\r\nHost: localhost\r\n"
	corpus(t, []row{
		{name: "an encoding", raw: start + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", want: conflict},
		{name: "an encoding and keep-alive", raw: start + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", want: conflict},
		{name: "an encoding and a length", raw: start + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", want: conflict},
		{name: "an encoding, a length and keep-alive", raw: start + "Connection: keep-alive\r\nContent-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\n" + local, want: conflict},
		{name: "identity", raw: start + "Content-Length: 3\r\nTransfer-Encoding: identity\r\n\r\nabc", want: conflict},
	})
}

// HTTP/2 is refused also when a header follows the first line of its preface.
func TestPrefaceWithAHeader(t *testing.T) {
	corpus(t, []row{{name: "a Host", raw: "PRI * HTTP/2.0\r\n" + local + "SM\r\n\r\n", want: "505 not_implemented, close"}})
}
