package proxy_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	logged "go.uber.org/zap/zaptest/observer"
)

// heads is an API that sends the lines of each request's head to seen.
func heads(seen chan<- []string) func(net.Conn) {
	return func(c net.Conn) {
		r := textproto.NewReader(bufio.NewReader(c))
		for {
			var head []string
			for {
				line, err := r.ReadLine()
				if err != nil {
					return
				}
				if line == "" {
					break
				}
				head = append(head, line)
			}
			seen <- head
			io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	}
}

func TestRequestLineGoesThrough(t *testing.T) {
	t.Parallel()
	seen := make(chan []string, 1)
	w := beginRaw(t, heads(seen))
	many := strings.Repeat("filters[a][]=1&", 20_000)
	for _, line := range []string{
		"GET /", "HEAD /a", "POST /a", "PUT /a", "PATCH /a", "DELETE /a", "OPTIONS /a", "OPTIONS *",
		"PROPFIND /a", "M-SEARCH /a", "BREW /pot", "get /a", "FROB!NICATE /a",
		"GET //a//b/", "GET /a/../b", "GET /a/./b/..", "GET /a%2Fb", "GET /a%2fb", "GET /%2e%2e/", "GET /a/", "GET /a;v=1/b", "GET /a:b@c",
		"GET //evil.example/x", "GET /http://evil.example/", "GET /a+b%20c", "GET /%C3%A4", "GET /%ff",
		"GET /ä%2Fb", "GET /a|b%2Fc", `GET /{"a"}`, "GET /a^b`c", "GET /a#b",
		"GET /a?filters[a][_comp]=gt", "GET /a?a;b=1;c", "GET /a?", "GET /a??", "GET /a?%zz=%&=%1", "GET /a?b=ä|\"{}", "GET /a?a=1&&&=&a=1&", "GET /a?b#c",
		"GET /a?" + many,
	} {
		w.ask(line + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if got := strings.TrimSuffix((<-seen)[0], " HTTP/1.1"); got != line {
			t.Errorf("sent %.100q, the API got %.100q", line, got)
		}
	}
}

func TestPathThatWouldBeAHostStaysAPath(t *testing.T) {
	t.Parallel()
	seen := make(chan []string, 1)
	w := beginRaw(t, heads(seen))
	w.ask("GET //evil.example/a|b HTTP/1.1\r\nHost: localhost\r\n\r\n")
	head := <-seen
	is(t, "request line", head[0], "GET http://api.test//evil.example/a|b HTTP/1.1")
	is(t, "Host", head[1], "Host: api.test")
}

func TestHeadersGoThrough(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ sent, want []string }{
		"nothing is added": {nil, nil},
		"twice":            {[]string{"Company: a", "Company: b", "Company: a"}, []string{"Company: a", "Company: b", "Company: a"}},
		"negotiation":      {[]string{"Accept-Encoding: br, gzip", "User-Agent: app/1", "Range: bytes=1-2"}, []string{"Accept-Encoding: br, gzip", "Range: bytes=1-2", "User-Agent: app/1"}},
		"hop by hop":       {[]string{"Connection: X-Hop, keep-alive", "X-Hop: 1", "Keep-Alive: 5", "Proxy-Connection: x", "Proxy-Authorization: Basic eDp5"}, nil},
		"forwarded":        {[]string{"Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: h", "X-Forwarded-Proto: https"}, nil},
		"cookies":          {[]string{"Cookie: a=1; b=2"}, []string{"Cookie: a=1; b=2"}},
		"error header":     {[]string{"Ticketproxy-Error: x"}, []string{"Ticketproxy-Error: x"}},
		"te":               {[]string{"Te: trailers"}, []string{"Connection: TE", "Te: trailers"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan []string, 1)
			w := beginRaw(t, heads(seen))
			w.ask("GET / HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(append(test.sent, "\r\n"), "\r\n"))
			want := append([]string{"Authorization: " + bearer(1), "Host: api.test"}, test.want...)
			got := (<-seen)[1:]
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestAuthorizationIsOursAlone(t *testing.T) {
	t.Parallel()
	seen := make(chan []string, 1)
	w := beginRaw(t, heads(seen))
	for _, sent := range []string{
		"Authorization: Basic YTpi\r\n",
		"authorization: Bearer a\r\nAUTHORIZATION: Bearer b\r\nAuthorization: c\r\n",
		"Authorization:\r\n",
		"Connection: Authorization\r\n",
		"Connection: authorization, close\r\nAuthorization: Bearer a\r\n",
		"Proxy-Authorization: Bearer a\r\n",
	} {
		w.ask("GET / HTTP/1.1\r\nHost: localhost\r\n" + sent + "\r\n")
		var got []string
		for _, line := range <-seen {
			if strings.Contains(strings.ToLower(line), "authorization") {
				got = append(got, line)
			}
		}
		if want := []string{"Authorization: " + bearer(1)}; !slices.Equal(got, want) {
			t.Errorf("app sent %q: the API got %q, want %q", sent, got, want)
		}
	}
}

func TestBodyFramingGoesThrough(t *testing.T) {
	t.Parallel()
	type framing struct {
		length   int64
		encoding string
		body     string
	}
	seen := make(chan framing, 1)
	w := begin(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen <- framing{r.ContentLength, strings.Join(r.TransferEncoding, ","), string(b)}
	}))
	for raw, want := range map[string]framing{
		"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc":                                     {3, "", "abc"},
		"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n":                                        {0, "", ""},
		"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n":                                                             {0, "", ""},
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n":                                                              {0, "", ""},
		"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc":                                      {3, "", "abc"},
		"DELETE / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\na":                                     {1, "", "a"},
		"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n": {-1, "chunked", "abc"},
		"PUT / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                       {-1, "chunked", ""},
	} {
		w.ask(raw)
		is(t, strconv.Quote(raw), <-seen, want)
	}
}

func TestAnswersGoThrough(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method, answer string
		body           string
		header         http.Header
	}{
		"plain":                {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 2\r\nX-A: 1\r\n\r\nhi", "hi", http.Header{"X-A": {"2", "1"}, "Content-Length": {"2"}}},
		"no type":              {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "<html>", http.Header{"Content-Type": nil}},
		"no type, Early Hints": {"GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "<html>", http.Header{"Content-Type": nil, "Link": nil}},
		"head":                 {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nContent-Type: a/b\r\n\r\n", "", http.Header{"Content-Length": {"1234"}, "Content-Type": {"a/b"}}},
		"no content":           {"DELETE", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", "", http.Header{"X-A": {"1"}, "Content-Length": nil}},
		"not modified":         {"GET", "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n", "", http.Header{"Etag": {`"x"`}}},
		"redirect":             {"GET", "HTTP/1.1 302 Found\r\nLocation: https://else.test/?a=b\r\nContent-Length: 0\r\n\r\n", "", http.Header{"Location": {"https://else.test/?a=b"}}},
		"cookies":              {"GET", "HTTP/1.1 200 OK\r\nSet-Cookie: b=1\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n", "", http.Header{"Set-Cookie": {"b=1", "a=1"}}},
		"until the end":        {"GET", "HTTP/1.0 200 OK\r\n\r\nhello", "hello", nil},
		"unknown status":       {"GET", "HTTP/1.1 599 Whatever\r\nContent-Length: 1\r\nDate: x\r\nServer: y\r\n\r\nz", "z", http.Header{"Date": {"x"}, "Server": {"y"}}},
		"our error header":     {"GET", "HTTP/1.1 503 No\r\nTicketproxy-Error: draining\r\nContent-Length: 1\r\n\r\nz", "z", http.Header{"Ticketproxy-Error": nil}},
		"challenge":            {"GET", "HTTP/1.1 403 No\r\nWww-Authenticate: Bearer error=\"insufficient_scope\"\r\nContent-Length: 0\r\n\r\n", "", http.Header{"Www-Authenticate": {`Bearer error="insufficient_scope"`}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := beginRaw(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					io.WriteString(c, test.answer)
				}
			})
			c := w.dial()
			c.send("%s / HTTP/1.1\r\nHost: localhost\r\n\r\n", test.method)
			res := c.receive(test.method)
			if res.StatusCode == http.StatusEarlyHints {
				is(t, "hint", res.Header.Get("Link"), "</a>")
				res = c.receive(test.method)
			}
			answer := test.answer[strings.LastIndex(test.answer, "HTTP/1."):]
			is(t, "status", strconv.Itoa(res.StatusCode), answer[9:12])
			is(t, "body", read(t, res), test.body)
			for name, want := range test.header {
				if got := res.Header[name]; !slices.Equal(got, want) {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestAnswersKeepTheirFraming checks that an answer without Content-Length gets none, however short.
func TestAnswersKeepTheirFraming(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ answer, version, coding string }{
		"chunked":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "1.1", "chunked"},
		"chunked, empty":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "1.1", "chunked"},
		"until the end":   {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi", "1.1", "chunked"},
		"of HTTP/1.0":     {"HTTP/1.0 200 OK\r\n\r\nhi", "1.1", "chunked"},
		"chunked, to 1.0": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "1.0", ""},
		"of known length": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "1.1", ""},
		"without a body":  {"HTTP/1.1 204 No Content\r\n\r\n", "1.1", ""},
		"of length 0":     {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "1.1", ""},
	} {
		w := beginRaw(t, func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.WriteString(c, test.answer)
			}
		})
		res, _ := w.ask("GET / HTTP/" + test.version + "\r\nHost: localhost\r\n\r\n")
		is(t, name, strings.Join(res.TransferEncoding, ","), test.coding)
		is(t, name+": has a length", res.Header["Content-Length"] != nil, strings.Contains(test.answer, "Content-Length"))
	}
}

func TestAnswerTrailersGoThrough(t *testing.T) {
	t.Parallel()
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "4")
		w.Header().Set(http.TrailerPrefix+"X-Late", "yes")
	}))
	res, body := w.do("GET", "/", nil)
	is(t, "body", body, "body")
	is(t, "announced trailer", res.Trailer.Get("X-Sum"), "4")
	is(t, "unannounced trailer", res.Trailer.Get("X-Late"), "yes")
}

func TestCompressedAnswerStaysCompressed(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte("hello"))
	z.Close()
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(packed.Bytes())
	}))
	res, body := w.do("GET", "/", nil)
	is(t, "encoding", res.Header.Get("Content-Encoding"), "gzip")
	is(t, "body", body, packed.String())
}

func TestBodiesStreamBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		control.EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		control.Flush()
		b := make([]byte, 64<<10)
		for {
			n, err := r.Body.Read(b)
			w.Write(b[:n])
			control.Flush()
			if err != nil {
				return
			}
		}
	}))
	upload, send := io.Pipe()
	res := w.open("POST", "/", upload)
	part, got := make([]byte, 64<<10), make([]byte, 64<<10)
	for range 64 { // each comes back before the next is sent
		rand.Read(part)
		if _, err := send.Write(part); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(res.Body, got); err != nil || !bytes.Equal(part, got) {
			t.Fatalf("echo is broken: %v", err)
		}
	}
	send.Close()
	is(t, "rest", read(t, res), "")
}

// TestAnswerBeforeTheUploadEnds checks that an answer goes through while the upload has not ended, or
// not begun. With an Upgrade, it is not looked at where the request ends.
func TestAnswerBeforeTheUploadEnds(t *testing.T) {
	t.Parallel()
	for _, request := range []string{
		"Content-Length: 1000000\r\n\r\nabc",
		"Content-Length: 4\r\n\r\nabc",
		"Content-Length: 4\r\n\r\n",
		"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\n",
	} {
		w := beginRaw(t, func(c net.Conn) {
			r := bufio.NewReader(c)
			if _, err := http.ReadRequest(r); err == nil {
				io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
			}
		})
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: localhost\r\n%s", request)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		res := c.receive("POST")
		is(t, "status", res.StatusCode, 413)
		is(t, "body", read(t, res), "big")
	}
}

func TestEventsAreFlushedAtOnce(t *testing.T) {
	t.Parallel()
	next := make(chan bool, 1)
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 0; <-next; i++ {
			fmt.Fprintf(w, "data: %d\n\n", i)
			http.NewResponseController(w).Flush()
		}
	}))
	next <- true
	res := w.open("GET", "/", nil)
	r := bufio.NewReader(res.Body)
	for i := range 10 {
		line, _ := r.ReadString('\n')
		is(t, "event", line, fmt.Sprintf("data: %d\n", i))
		r.ReadString('\n')
		next <- i < 9
	}
	is(t, "rest", read(t, res), "")
}

// upgrade is an API that switches protocols and echoes what it gets, until its client
// closes.
func upgrade(c net.Conn) {
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nX-Seen: %s\r\n\r\n", req.Header.Get("Upgrade"), req.Header.Get("Authorization"))
	io.Copy(c, r)
}

// TestBytesThatComeWithAnUpgrade checks that bytes after an upgrade request reach the
// API as the first of the new protocol.
func TestBytesThatComeWithAnUpgrade(t *testing.T) {
	t.Parallel()
	w := beginRaw(t, upgrade)
	c := w.dial()
	c.send("GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
	is(t, "status", c.receive("GET").StatusCode, http.StatusSwitchingProtocols)
	c.send(" and late")
	got := make([]byte, len("early and late"))
	if _, err := io.ReadFull(c.r, got); err != nil {
		t.Fatal(err)
	}
	is(t, "echo", string(got), "early and late")
}

func TestUpgradePassesBytesBothWays(t *testing.T) {
	t.Parallel()
	w := beginRaw(t, upgrade)
	c := w.dial()
	c.send("GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	res := c.receive("GET")
	is(t, "status", res.StatusCode, http.StatusSwitchingProtocols)
	is(t, "upgrade", res.Header.Get("Upgrade"), "websocket")
	is(t, "authorization", res.Header.Get("X-Seen"), "Bearer [redacted]")
	for _, word := range []string{"ping", strings.Repeat("x", 1000), "\x00\xff"} {
		c.send("%s", word)
		got := make([]byte, len(word))
		if _, err := io.ReadFull(c.r, got); err != nil {
			t.Fatal(err)
		}
		is(t, "echo", string(got), word)
	}
}

// net/http's error quotes a malformed trailer.
func TestNoTokenInTheLog(t *testing.T) {
	t.Parallel()
	core, logs := logged.New(zapcore.DebugLevel)
	w := beginRaw(t, func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n%s\r\n\r\n", req.Header.Get("Authorization"))
	}, func(w *fixture) { w.upstream.Log = zap.New(core) })
	res := w.open("GET", "/", nil)
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("a broken answer ended cleanly")
	}
	for _, e := range logs.All() {
		if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, token(1)) {
			t.Errorf("logged %q", text)
		}
	}
}
