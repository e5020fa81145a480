package issuer_test

import (
	"math/big"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"ticketproxy/tokens"
)

// FuzzAnswer checks that any answer is a grant whose token can be sent, or a
// *tokens.IssuerError that shows nothing of the request.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		"", "{}", "null", `{"access_token":"a","expires_in":600,"refresh_token":"r"}`,
		`{"access_token":"` + refreshToken + `","token_type":"bearer","expires_in":"1e9"}`,
		`{"error":"invalid_grant"}`, `{"error":"` + refreshToken + `"}`, `{"error":"invalid_client","error":1}`,
		`{"access_token":"a","refresh_token_expires_in":1e400}`, `[[[[`, "\xef\xbb\xbf{}",
	} {
		for _, status := range []int{200, 204, 302, 400, 401, 429, 503} {
			f.Add(status, "Retry-After", "1", body)
		}
	}
	f.Add(200, "Content-Encoding", "gzip", "{}")
	f.Add(503, "Retry-After", refreshToken, refreshToken)
	visible := regexp.MustCompile(`\A[!-~]+\z`)
	f.Fuzz(func(t *testing.T, status int, name, value, body string) {
		h := http.Header{}
		h.Add(name, value)
		for _, d := range []string{"generic", "openticket", "ticketpark"} {
			g, err := refresh(t, lookup(t, d), answering(status, h, body))
			if err != nil {
				e := failure(t, err)
				if e.RetryAfter < 0 || e.RetryAfter > 0 && e.Class != tokens.Throttled {
					t.Errorf("%v with retry after %v", e.Class, e.RetryAfter)
				}
				if e.Class == tokens.NotSent || e.Status != status {
					t.Errorf("%v %d of an answer %d", e.Class, e.Status, status)
				}
				continue
			}
			if status < 200 || status > 299 {
				t.Errorf("a grant from status %d", status)
			}
			if access := g.AccessToken.Reveal(); !visible.MatchString(access) || len(access) > 16<<10 {
				t.Errorf("access token %q", access)
			}
			if strings.ContainsAny(g.RefreshToken.Reveal(), "\r\n\x00") {
				t.Errorf("refresh token %q", g.RefreshToken.Reveal())
			}
			if !g.Expiry.IsZero() && g.Lifetime() < 0 || !g.RefreshExpiry.IsZero() && g.RefreshExpiry.Before(g.Obtained) {
				t.Errorf("obtained %v, expiry %v, refresh expiry %v", g.Obtained, g.Expiry, g.RefreshExpiry)
			}
		}
	})
}

// FuzzRetryAfter checks that a number of seconds is taken exactly, up to a century, and
// that no result is negative.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "120", "-1", "1.5", "99999999999999999999", "Wed, 21 Oct 2015 07:28:00 GMT", "Wednesday, 21-Oct-15 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "soon"} {
		f.Add(s)
	}
	digits := regexp.MustCompile(`^[0-9]+$`)
	const most = 100 * 365 * 24 * time.Hour
	f.Fuzz(func(t *testing.T, value string) {
		_, err := refresh(t, lookup(t, "generic"), answering(429, http.Header{"Retry-After": {value}}, ""))
		e := failure(t, err)
		if e.Class != tokens.Throttled || e.RetryAfter < 0 || e.RetryAfter > most {
			t.Errorf("%q: %v after %v", value, e.Class, e.RetryAfter)
		}
		if digits.MatchString(value) {
			n, _ := new(big.Int).SetString(value, 10)
			want := most
			if n.Cmp(big.NewInt(int64(most/time.Second))) < 0 {
				want = time.Duration(n.Int64()) * time.Second
			}
			if e.RetryAfter != want {
				t.Errorf("%q: after %v, want %v", value, e.RetryAfter, want)
			}
		}
	})
}
