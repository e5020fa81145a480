package issuer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/issuer"
)

// TestGrants checks how successful answers are read.
func TestGrants(t *testing.T) {
	t.Parallel()
	const forever = 100 * 365 * 24 * time.Hour
	for _, tt := range []struct {
		name, body    string
		refresh       string
		expiry        time.Duration
		refreshExpiry time.Duration
	}{
		{"access token only", `{"access_token":"a"}`, "", 0, 0},
		{"number", `{"access_token":"a","expires_in":3599}`, "", 3599 * time.Second, 0},
		{"decimal", `{"access_token":"a","expires_in":3599.0}`, "", 3599 * time.Second, 0},
		{"exponent", `{"access_token":"a","expires_in":1e3}`, "", 1000 * time.Second, 0},
		{"half a second", `{"access_token":"a","expires_in":0.5}`, "", 500 * time.Millisecond, 0},
		{"numeric string", `{"access_token":"a","expires_in":" 600 "}`, "", 600 * time.Second, 0},
		{"decimal string", `{"access_token":"a","expires_in":"600.0"}`, "", 600 * time.Second, 0},
		{"null", `{"access_token":"a","expires_in":null}`, "", 0, 0},
		{"zero", `{"access_token":"a","expires_in":0}`, "", 0, 0},
		{"negative", `{"access_token":"a","expires_in":-1}`, "", 0, 0},
		{"negative string", `{"access_token":"a","expires_in":"-600"}`, "", 0, 0},
		{"empty string", `{"access_token":"a","expires_in":""}`, "", 0, 0},
		{"not a number", `{"access_token":"a","expires_in":"NaN"}`, "", 0, 0},
		{"infinite", `{"access_token":"a","expires_in":"Inf"}`, "", 0, 0},
		{"hexadecimal", `{"access_token":"a","expires_in":"0x10"}`, "", 0, 0},
		{"true", `{"access_token":"a","expires_in":true}`, "", 0, 0},
		{"object", `{"access_token":"a","expires_in":{}}`, "", 0, 0},
		{"64 bits", `{"access_token":"a","expires_in":9223372036854775807}`, "", forever, 0},
		{"more than a float", `{"access_token":"a","expires_in":1e999}`, "", forever, 0},
		{"refresh lifetime", `{"access_token":"a","refresh_token":"r","refresh_token_expires_in":"60"}`, "r", 0, time.Minute},
		{"refresh lifetime, no token", `{"access_token":"a","refresh_token_expires_in":60}`, "", 0, time.Minute},
		{"refresh lifetime assumed", `{"access_token":"a","refresh_token":"r","refresh_token_expires_in":-1}`, "r", 0, 365 * 24 * time.Hour},
		{"no refresh token", `{"access_token":"a","refresh_token":null}`, "", 0, 0},
		{"empty refresh token", `{"access_token":"a","refresh_token":""}`, "", 0, 0},
		{"scope null and unknown members", `{"access_token":"a","scope":null,"info":{"access_token":"b"},"info":[]}`, "", 0, 0},
		{"bearer in capitals", `{"access_token":"a","token_type":"BEARER"}`, "", 0, 0},
		{"token type null", `{"access_token":"a","token_type":null}`, "", 0, 0},
		{"other case is another member", `{"access_token":"a","Access_Token":"b","EXPIRES_IN":7}`, "", 0, 0},
		{"text after the object", `{"access_token":"a"}{"access_token":"b"} and more`, "", 0, 0},
		{"members twice", `{"access_token":"b","refresh_token":null,"access\u005ftoken":"a","refresh_token":"r","refresh_token":null}`, "r", 0, 0},
		{"refresh token a number", `{"access_token":"a","refresh_token":12345678901234567890}`, "12345678901234567890", 0, 0},
		{"byte order mark", "\ufeff{\"access_token\":\"a\"}", "", 0, 0},
		{"cut after both tokens", `{"access_token":"a","refresh_token":"r","expires_i`, "r", 0, 0},
		{"not closed", `{"access_token":"a","refresh_token":"r",}`, "r", 0, 0},
		{"large", `{"scope":"` + strings.Repeat("s", 70<<10) + `","access_token":"a"}`, "", 0, 0},
		{"white space", " \r\n{ \"access_token\" : \"a\" }\n ", "", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, err := refresh(t, lookup(t, "openticket"), answering(200, nil, tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if g.AccessToken.Reveal() != "a" || g.RefreshToken.Reveal() != tt.refresh {
				t.Errorf("tokens are %q and %q", g.AccessToken.Reveal(), g.RefreshToken.Reveal())
			}
			if tt.refresh != "" && tt.refreshExpiry == 0 {
				tt.refreshExpiry = lookup(t, "openticket").RefreshLifetime
			}
			checkAfter(t, "expiry", g.Obtained, g.Expiry, tt.expiry)
			checkAfter(t, "refresh expiry", g.Obtained, g.RefreshExpiry, tt.refreshExpiry)
		})
	}
}

// TestLongTokens checks the limit of a token's length: it must fit in a header.
func TestLongTokens(t *testing.T) {
	t.Parallel()
	for length, fits := range map[int]bool{16 << 10: true, 16<<10 + 1: false} {
		_, err := refresh(t, lookup(t, "generic"), answering(201, nil, `{"access_token":"`+strings.Repeat("a", length)+`"}`))
		if fits != (err == nil) {
			t.Errorf("a token of %d bytes: %v", length, err)
		}
		_, err = refresh(t, lookup(t, "generic"), answering(200, nil, `{"access_token":"a","refresh_token":"`+strings.Repeat("r", length)+`"}`))
		if fits != (err == nil) {
			t.Errorf("a refresh token of %d bytes: %v", length, err)
		}
	}
}

func header(fields ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

// TestFailures checks how all other answers are read.
func TestFailures(t *testing.T) {
	t.Parallel()
	const now = "Wed, 21 Oct 2015 07:28:00 GMT"
	for _, tt := range []struct {
		name    string
		dialect string // generic when empty
		status  int
		header  http.Header
		body    string
		class   tokens.Class
		code    string
		after   time.Duration
		kept    string // the refresh token that comes with the error
	}{
		{name: "empty", status: 200, class: tokens.Ambiguous},
		{name: "no content", status: 204, class: tokens.Ambiguous},
		{name: "page", status: 200, body: "<html>", class: tokens.Ambiguous},
		{name: "array", status: 200, body: `[{"access_token":"a"}]`, class: tokens.Ambiguous},
		{name: "string", status: 200, body: `"access_token"`, class: tokens.Ambiguous},
		{name: "null", status: 200, body: `null`, class: tokens.Ambiguous},
		{name: "cut", status: 200, body: `{"access_token":"a"`, class: tokens.Ambiguous},
		{name: "comma", status: 200, body: `{"access_token":"a",}`, class: tokens.Ambiguous},
		{name: "no token", status: 200, body: `{"refresh_token":"r"}`, class: tokens.Refused, kept: "r"},
		{name: "other case", status: 200, body: `{"Access_Token":"a"}`, class: tokens.Ambiguous},
		{name: "token null", status: 200, body: `{"access_token":null}`, class: tokens.Ambiguous},
		{name: "token empty", status: 200, body: `{"access_token":""}`, class: tokens.Ambiguous},
		{name: "token a number", status: 200, body: `{"access_token":1}`, class: tokens.Ambiguous},
		{name: "token with space", status: 200, body: `{"access_token":"a b"}`, class: tokens.Ambiguous},
		{name: "token with newline", status: 200, body: `{"access_token":"a\r\nX: y"}`, class: tokens.Ambiguous},
		{name: "token with umlaut", status: 200, body: `{"access_token":"ä"}`, class: tokens.Ambiguous},
		{name: "token with DEL", status: 200, body: `{"access_token":"a\u007f"}`, class: tokens.Ambiguous},
		{name: "refresh token with newline", status: 200, body: `{"access_token":"a","refresh_token":"r\n"}`, class: tokens.Ambiguous},
		{name: "refresh token not UTF-8", status: 200, body: "{\"access_token\":\"a\",\"refresh_token\":\"\xff\"}", class: tokens.Ambiguous},
		{name: "gzip", status: 200, header: header("Content-Encoding", "gzip"), body: `{"access_token":"a"}`, class: tokens.Ambiguous},
		{name: "identity and gzip", status: 200, header: header("Content-Encoding", "identity", "Content-Encoding", "gzip"), body: `{"access_token":"a"}`, class: tokens.Ambiguous},
		{name: "over 1 MiB", status: 200, body: `{"access_token":"a"}` + strings.Repeat(" ", 1<<20), class: tokens.Ambiguous},
		{name: "cut after the refresh token", status: 200, body: `{"refresh_token":"r","access_to`, class: tokens.Refused, kept: "r"},
		{name: "cut within the refresh token, a number", status: 200, body: `{"access_token":"a","refresh_token":1234`, class: tokens.Ambiguous},
		{name: "cut after the refresh token, a number", status: 200, body: `{"refresh_token":1234,"access_to`, class: tokens.Refused, kept: "1234"},
		{name: "cut within the refresh token", status: 200, body: `{"access_token":"a","refresh_token":"r`, class: tokens.Ambiguous},
		{name: "error with 200", status: 200, body: `{"error":"invalid_grant"}`, class: tokens.Ambiguous, code: "invalid_grant"},
		{name: "mac", status: 200, body: `{"access_token":"a","token_type":"mac"}`, class: tokens.Refused},
		{name: "dpop", status: 200, body: `{"access_token":"a","token_type":"DPoP"}`, class: tokens.Refused},
		{name: "token type a number", status: 200, body: `{"access_token":"a","token_type":1}`, class: tokens.Refused},
		{name: "mac, rotated", status: 200, body: `{"access_token":"a","token_type":"mac","refresh_token":"r"}`, class: tokens.Refused, kept: "r"},
		{name: "token with space, rotated", status: 200, body: `{"access_token":"a b","refresh_token":"r"}`, class: tokens.Refused, kept: "r"},

		{name: "100", status: 100, class: tokens.Ambiguous},
		{name: "switching", status: 101, class: tokens.Ambiguous},
		{name: "redirect", status: 302, header: header("Location", "https://other.example/"), class: tokens.Refused},
		{name: "redirect with method", status: 307, header: header("Location", "https://other.example/"), class: tokens.Refused},
		{name: "not modified", status: 304, class: tokens.Refused},

		{name: "429", status: 429, class: tokens.Throttled},
		{name: "429 seconds", status: 429, header: header("Retry-After", "120"), class: tokens.Throttled, after: 2 * time.Minute},
		{name: "429 date", status: 429, header: header("Retry-After", "Wed, 21 Oct 2015 07:30:00 GMT", "Date", now), class: tokens.Throttled, after: 2 * time.Minute},
		{name: "429 past date", status: 429, header: header("Retry-After", now), class: tokens.Throttled},
		{name: "429 nonsense", status: 429, header: header("Retry-After", "soon"), class: tokens.Throttled},
		{name: "429 negative", status: 429, header: header("Retry-After", "-1"), class: tokens.Throttled},
		{name: "429 huge", status: 429, header: header("Retry-After", strings.Repeat("9", 40)), class: tokens.Throttled, after: 100 * 365 * 24 * time.Hour},
		{name: "429 centuries", status: 429, header: header("Retry-After", "99999999999"), class: tokens.Throttled, after: 100 * 365 * 24 * time.Hour},
		{name: "429 date of centuries", status: 429, header: header("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"), class: tokens.Throttled, after: 100 * 365 * 24 * time.Hour},
		{name: "429 with invalid_grant", status: 429, body: `{"error":"invalid_grant"}`, class: tokens.Throttled},
		{name: "503", status: 503, class: tokens.Ambiguous},
		{name: "503 seconds", status: 503, header: header("Retry-After", "7"), class: tokens.Throttled, after: 7 * time.Second},
		{name: "503 now", status: 503, header: header("Retry-After", "0"), class: tokens.Throttled},
		{name: "503 nonsense", status: 503, header: header("Retry-After", "soon"), class: tokens.Ambiguous},
		{name: "500", status: 500, body: `{"error":"server_error"}`, class: tokens.Ambiguous, code: "server_error"},
		{name: "502 with Retry-After", status: 502, header: header("Retry-After", "7"), class: tokens.Ambiguous},
		{name: "503 code", status: 503, body: `{"error":"temporarily_unavailable"}`, class: tokens.Ambiguous, code: "temporarily_unavailable"},
		{name: "500 with invalid_grant", status: 500, body: `{"error":"invalid_grant"}`, class: tokens.Ambiguous, code: "invalid_grant"},
		{name: "504", status: 504, body: "<html>", class: tokens.Ambiguous},
		{name: "999", status: 999, class: tokens.Ambiguous},

		{name: "invalid_grant 400", status: 400, body: `{"error":"invalid_grant"}`, class: tokens.Invalid, code: "invalid_grant"},
		{name: "invalid_grant 401", status: 401, body: `{"error":"invalid_grant"}`, class: tokens.Invalid, code: "invalid_grant"},
		{name: "invalid_grant 403", status: 403, body: `{"error":"invalid_grant"}`, class: tokens.Invalid, code: "invalid_grant"},
		{name: "invalid_client", status: 401, body: `{"error":"invalid_client"}`, class: tokens.Refused, code: "invalid_client"},
		{name: "unauthorized_client", status: 400, body: `{"error":"unauthorized_client"}`, class: tokens.Refused, code: "unauthorized_client"},
		{name: "unsupported_grant_type", status: 400, body: `{"error":"unsupported_grant_type"}`, class: tokens.Refused, code: "unsupported_grant_type"},
		{name: "invalid_scope", status: 400, body: `{"error":"invalid_scope"}`, class: tokens.Refused, code: "invalid_scope"},
		{name: "401 invalid_request", status: 401, body: `{"error":"invalid_request"}`, class: tokens.Refused, code: "invalid_request"},
		{name: "400 without code", status: 400, class: tokens.Refused},
		{name: "403 page", status: 403, body: "<html>", class: tokens.Refused},
		{name: "404", status: 404, body: "not found", class: tokens.Refused},
		{name: "405", status: 405, class: tokens.Refused},
		{name: "408", status: 408, class: tokens.Ambiguous},
		{name: "408 with code", status: 408, body: `{"error":"invalid_grant"}`, class: tokens.Ambiguous, code: "invalid_grant"},
		{name: "400 gzip", status: 400, header: header("Content-Encoding", "gzip"), body: `{"error":"invalid_grant"}`, class: tokens.Refused},
		{name: "400 over 1 MiB", status: 400, body: `{"error":"invalid_grant"}` + strings.Repeat(" ", 1<<20), class: tokens.Refused},
		{name: "code in capitals", status: 400, body: `{"Error":"invalid_grant","error":"Invalid_Grant"}`, class: tokens.Refused},
		{name: "code twice", status: 400, body: `{"error":"invalid_grant","error":"invalid_client"}`, class: tokens.Refused},
		{name: "code an object", status: 400, body: `{"error":{"code":"invalid_grant"}}`, class: tokens.Refused},
		{name: "long code", status: 400, body: `{"error":"` + strings.Repeat("a", 65) + `"}`, class: tokens.Refused},
		{name: "description", status: 400, body: `{"error":"invalid_grant","error_description":"` + refreshToken + `"}`, class: tokens.Invalid, code: "invalid_grant"},
		{name: "token as code", status: 400, body: `{"error":"` + refreshToken + `"}`, class: tokens.Refused},

		{name: "league v8", dialect: "openticket", status: 401, class: tokens.Invalid, code: "invalid_request",
			body: `{"error":"invalid_request","error_description":"The refresh token is invalid.","hint":"Token has been revoked","message":"The refresh token is invalid."}`},
		{name: "league v8 form", dialect: "openticket", status: 400, body: `{"error":"invalid_request"}`, class: tokens.Refused, code: "invalid_request"},
		{name: "league v9", dialect: "openticket", status: 400, body: `{"error":"invalid_grant"}`, class: tokens.Invalid, code: "invalid_grant"},
		{name: "league client", dialect: "openticket", status: 401, body: `{"error":"invalid_client"}`, class: tokens.Refused, code: "invalid_client"},
		{name: "FOSOAuth spent", dialect: "ticketpark", status: 400, body: `{"error":"invalid_grant","error_description":"Invalid refresh token"}`, class: tokens.Invalid, code: "invalid_grant"},
		{name: "FOSOAuth expired", dialect: "ticketpark", status: 400, body: `{"error":"invalid_grant","error_description":"Refresh token has expired"}`, class: tokens.Invalid, code: "invalid_grant"},
		{name: "FOSOAuth client", dialect: "ticketpark", status: 400, body: `{"error":"invalid_client","error_description":"The client credentials are invalid"}`, class: tokens.Refused, code: "invalid_client"},
		{name: "FOSOAuth grant", dialect: "ticketpark", status: 400, body: `{"error":"unauthorized_client"}`, class: tokens.Refused, code: "unauthorized_client"},
		{name: "FOSOAuth form", dialect: "ticketpark", status: 400, body: `{"error":"invalid_request","error_description":"No \"refresh_token\" parameter found"}`, class: tokens.Refused, code: "invalid_request"},
		{name: "Katana spent", dialect: "socialboards", status: 400, header: header("Content-Type", "application/json;charset=UTF-8"), body: `{"error":"invalid_grant"}`, class: tokens.Invalid, code: "invalid_grant"},
		{name: "Katana client", dialect: "socialboards", status: 400, body: `{"error":"invalid_client"}`, class: tokens.Refused, code: "invalid_client"},
		{name: "Katana grant", dialect: "socialboards", status: 400, body: `{"error":"unsupported_grant_type"}`, class: tokens.Refused, code: "unsupported_grant_type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.dialect == "" {
				tt.dialect = "generic"
			}
			g, err := refresh(t, lookup(t, tt.dialect), answering(tt.status, tt.header, tt.body))
			e := failure(t, err)
			if e.Class != tt.class || e.Status != tt.status || e.Code != tt.code || e.RetryAfter != tt.after {
				t.Errorf("got %v, status %d, code %q, after %v; want %v, %d, %q, %v (%v)",
					e.Class, e.Status, e.Code, e.RetryAfter, tt.class, tt.status, tt.code, tt.after, err)
			}
			if !g.Same(tokens.Grant{RefreshToken: secret.New(tt.kept)}) {
				t.Errorf("with the error came %q and %q, want %q alone", g.AccessToken.Reveal(), g.RefreshToken.Reveal(), tt.kept)
			}
		})
	}
}

// TestLeagueRuleIsForRefreshOnly checks that invalid_request for an authorization code is
// not read as an invalid refresh token.
func TestLeagueRuleIsForRefreshOnly(t *testing.T) {
	t.Parallel()
	c := config(lookup(t, "openticket"), "https://issuer.example")
	c.Transport = answering(401, nil, `{"error":"invalid_request"}`)
	_, err := byExchange(issuer.New(c))
	if e := failure(t, err); e.Class != tokens.Refused {
		t.Errorf("class is %v", e.Class)
	}
}

// TestErrorCodeThatIsASecret checks that an error code that has a part of the token is not
// kept.
func TestErrorCodeThatIsASecret(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"a_token_of_plain_letters", "x_a_token_of_plain_letters_x", "token_of_plain"} {
		c := config(lookup(t, "generic"), "https://issuer.example")
		c.Transport = answering(400, nil, `{"error":"`+code+`"}`)
		_, err := issuer.New(c).Refresh(context.Background(), secret.New("a_token_of_plain_letters"))
		if e := failure(t, err); e.Code != "" || e.Class != tokens.Refused {
			t.Errorf("class %v, code %q", e.Class, e.Code)
		}
	}
}

// TestRedirectTargetGetsNothing checks that a 307 is not followed. net/http would send the
// body to its target.
func TestRedirectTargetGetsNothing(t *testing.T) {
	t.Parallel()
	target, atTarget := listen(t, func(net.Conn) {})
	addr, atIssuer := listen(t, func(conn net.Conn) {
		if _, err := readRequest(conn); err == nil {
			conn.Write([]byte("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://" + target + "/token\r\nContent-Length: 0\r\n\r\n"))
		}
	})
	_, err := byRefresh(client(lookup(t, "generic"), "http://"+addr))
	if e := failure(t, err); e.Class != tokens.Refused || e.Status != 307 {
		t.Errorf("got %v %d", e.Class, e.Status)
	}
	if n := atIssuer(); n != 1 {
		t.Errorf("issuer saw %d connections", n)
	}
	if n := atTarget(); n != 0 {
		t.Errorf("target saw %d connections", n)
	}
}

// A client that is refused its own grant is refused for now: no person can log in.
func TestClientCredentialsAreNeverDead(t *testing.T) {
	t.Parallel()
	c := config(lookup(t, "generic"), "https://issuer.example")
	c.ClientCredentials, c.Transport = true, answering(400, nil, `{"error":"invalid_grant"}`)
	_, err := byRefresh(issuer.New(c))
	if e := failure(t, err); e.Class != tokens.Refused || e.Code != "invalid_grant" {
		t.Errorf("class %v, code %q", e.Class, e.Code)
	}
}

// The issuer's description of an error is kept for a person, and is in no text. One that
// holds a secret is dropped.
func TestErrorDescription(t *testing.T) {
	t.Parallel()
	for description, want := range map[string]string{
		"The scope is missing.":         "The scope is missing.",
		"unknown token " + refreshToken: "",
	} {
		body := `{"error":"invalid_scope","error_description":"` + description + `"}`
		_, err := refresh(t, lookup(t, "generic"), answering(400, nil, body))
		e := failure(t, err)
		if got := e.Description.Reveal(); got != want {
			t.Errorf("%q: got %q", description, got)
		}
		if want != "" && strings.Contains(fmt.Sprintf("%v %+v", err, *e), want) {
			t.Errorf("%q shows in %+v", description, *e)
		}
	}
}

// TestClock checks that Clock gets the issuer's time from every answer.
func TestClock(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 400, 503} {
		var got []time.Time
		c := config(lookup(t, "generic"), "https://issuer.example")
		c.Transport = answering(status, header("Date", "Wed, 21 Oct 2015 07:28:00 GMT"), "{}")
		c.Clock = func(date time.Time) { got = append(got, date) }
		byRefresh(issuer.New(c))
		if want := time.Date(2015, 10, 21, 7, 28, 0, 0, time.UTC); len(got) != 1 || !got[0].Equal(want) {
			t.Errorf("%d: told %v", status, got)
		}
	}
}

func compress(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

// TestCompressedAnswer checks that a compressed answer is read although none was asked for:
// it holds the only valid refresh token.
func TestCompressedAnswer(t *testing.T) {
	t.Parallel()
	const text = `{"access_token":"a","refresh_token":"r"}`
	for name, tt := range map[string]struct{ coding, body string }{
		"gzip":       {"gzip", compress(text)},
		"other name": {"X-GZIP", compress(text)},
		"cut":        {"gzip", compress(text + strings.Repeat(" ", 9000))[:60]},
		"no trailer": {"gzip", compress(text)[:len(compress(text))-8]},
	} {
		g, err := refresh(t, lookup(t, "generic"), answering(200, header("Content-Encoding", tt.coding), tt.body))
		if err != nil || g.AccessToken.Reveal() != "a" || g.RefreshToken.Reveal() != "r" {
			t.Errorf("%s: %q, %q, %v", name, g.AccessToken.Reveal(), g.RefreshToken.Reveal(), err)
		}
	}
	_, err := refresh(t, lookup(t, "generic"), answering(200, header("Content-Encoding", "gzip"), compress(strings.Repeat(" ", 2<<20)+text)))
	if e := failure(t, err); e.Class != tokens.Ambiguous {
		t.Errorf("a gzip bomb is %v", e.Class)
	}
}

// Each content coding takes memory, so a token answer has one at most.
func TestTokenAnswerHasOneContentCoding(t *testing.T) {
	t.Parallel()
	twice := header("Content-Encoding", "gzip", "Content-Encoding", "identity", "Content-Encoding", "x-gzip")
	for status, want := range map[int]tokens.Class{200: tokens.Ambiguous, 400: tokens.Refused} {
		_, err := refresh(t, lookup(t, "generic"), answering(status, twice, compress(compress(`{"access_token":"a","error":"invalid_grant"}`))))
		e := failure(t, err)
		if e.Class != want || !strings.Contains(e.Error(), "more than one content coding") {
			t.Errorf("%d: %v: %v", status, e.Class, e)
		}
	}
}
