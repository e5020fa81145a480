package issuer_test

import (
	"bytes"
	"context"
	"flag"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/dialect"
	"ticketproxy/tokens/issuer"
)

var update = flag.Bool("update", false, "rewrite testdata/*.request")

func byRefresh(c *issuer.Client) (tokens.Grant, error) {
	return c.Refresh(context.Background(), secret.New(refreshToken))
}

func byPassword(c *issuer.Client) (tokens.Grant, error) {
	return c.Password(context.Background(), "user@example.com", secret.New(password))
}

func byExchange(c *issuer.Client) (tokens.Grant, error) {
	return c.Exchange(context.Background(), secret.New(code), "http://127.0.0.1:8085/callback", secret.New(verifier))
}

// TestGolden compares every request, as it was sent, with testdata/*.request, answers it
// with testdata/*.response, and checks the grant.
func TestGolden(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name, dialect string
		auth          dialect.ClientAuth // the dialect's when empty
		encoding      dialect.Encoding   // the same
		ask           func(*issuer.Client) (tokens.Grant, error)
		expiry        time.Duration
		refreshExpiry time.Duration
	}{
		{"socialboards_refresh", "socialboards", "", "", byRefresh, 3599 * time.Second, 0},
		{"openticket_refresh", "openticket", "", "", byRefresh, 259200 * time.Second, 31535999 * time.Second},
		{"openticket_refresh_form", "openticket", "", dialect.EncodingForm, byRefresh, 259200 * time.Second, 31535999 * time.Second},
		{"openticket_exchange", "openticket", "", "", byExchange, 259200 * time.Second, 31535999 * time.Second},
		{"ticketpark_refresh", "ticketpark", "", "", byRefresh, 600 * time.Second, 14 * day},
		{"ticketpark_password", "ticketpark", "", "", byPassword, 600 * time.Second, 14 * day},
		{"generic_refresh_none_form", "generic", dialect.AuthNone, dialect.EncodingForm, byRefresh, time.Hour, 0},
		{"generic_refresh_none_json", "generic", dialect.AuthNone, dialect.EncodingJSON, byRefresh, time.Hour, 0},
		{"generic_refresh_body_form", "generic", dialect.AuthBody, dialect.EncodingForm, byRefresh, time.Hour, 0},
		{"generic_refresh_body_json", "generic", dialect.AuthBody, dialect.EncodingJSON, byRefresh, time.Hour, 0},
		{"generic_refresh_basic_form", "generic", dialect.AuthBasic, dialect.EncodingForm, byRefresh, time.Hour, 0},
		{"generic_refresh_basic_json", "generic", dialect.AuthBasic, dialect.EncodingJSON, byRefresh, time.Hour, 0},
		{"generic_refresh_basic_plain", "generic", dialect.AuthBasicPlain, "", byRefresh, time.Hour, 0},
		{"generic_password", "generic", "", "", byPassword, time.Hour, 0},
		{"generic_exchange", "generic", "", "", byExchange, time.Hour, 0},
		{"generic_client_credentials_extra", "generic", "", "", byRefresh, time.Hour, 0},
		{"generic_refresh_extra_form", "generic", "", "", byRefresh, time.Hour, 0},
		{"generic_refresh_extra_json", "generic", "", dialect.EncodingJSON, byRefresh, time.Hour, 0},
		{"generic_password_extra", "generic", "", "", byPassword, time.Hour, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			response, err := os.ReadFile(filepath.Join("testdata", tt.name+".response"))
			if err != nil {
				t.Fatal(err)
			}
			requests := make(chan []byte, 1)
			addr, connections := listen(t, func(conn net.Conn) {
				if raw, err := readRequest(conn); err == nil {
					conn.Write(response)
					requests <- raw
				}
			})

			d := lookup(t, tt.dialect)
			path := "/token?tenant=one"
			if u, err := url.Parse(d.TokenURL); err != nil {
				t.Fatal(err)
			} else if d.TokenURL != "" {
				path = u.Path
			}
			c := config(d, "")
			c.Dialect.TokenURL = "http://" + addr + path
			if tt.auth != "" {
				c.Dialect.ClientAuth = tt.auth
			}
			if tt.encoding != "" {
				c.Dialect.Encoding = tt.encoding
			}
			if strings.Contains(tt.name, "_extra") {
				c.Scope, c.Headers = "openid offline_access", http.Header{"X-Api-Key": {"a"}, "User-Agent": {"an app"}}
				c.Params = url.Values{"audience": {"https://api.example"}, "resource": {"a", "b c"}, "grant_type": {"x"}}
			}
			c.ClientCredentials = strings.Contains(tt.name, "client_credentials")
			before := time.Now()
			g, err := tt.ask(issuer.New(c))
			if err != nil {
				t.Fatal(err)
			}
			if n := connections(); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}

			got := bytes.Replace(<-requests, []byte("\r\nHost: "+addr+"\r\n"), []byte("\r\nHost: issuer.example\r\n"), 1)
			golden := filepath.Join("testdata", tt.name+".request")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("sent:\n%s\nwant:\n%s", got, want)
			}

			if got := g.AccessToken.Reveal(); got != "the-access-token" {
				t.Errorf("access token is %q", got)
			}
			if got := g.RefreshToken.Reveal(); got != "the-next+refresh/token=" && !c.ClientCredentials || got != "" && c.ClientCredentials {
				t.Errorf("refresh token is %q", got)
			}
			if g.Obtained.Before(before) || g.Obtained.After(time.Now()) {
				t.Errorf("obtained at %v, asked at %v", g.Obtained, before)
			}
			checkAfter(t, "expiry", g.Obtained, g.Expiry, tt.expiry)
			checkAfter(t, "refresh expiry", g.Obtained, g.RefreshExpiry, tt.refreshExpiry)
		})
	}
}

// checkAfter checks that end is d after begin, or zero when d is.
func checkAfter(t *testing.T, what string, begin, end time.Time, d time.Duration) {
	t.Helper()
	if d == 0 && end.IsZero() {
		return
	}
	if got := end.Sub(begin); d == 0 || end.IsZero() || got != d {
		t.Errorf("%s is %v, %v after obtained; want %v after", what, end, got, d)
	}
}
