package config_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ticketproxy/config"
	"ticketproxy/tokens/dialect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dialects() []dialect.Dialect {
	return []dialect.Dialect{
		{Name: "socialboards", UpstreamURL: "https://api.boards.test", TokenURL: "https://api.boards.test/token", ClientAuth: "none", Encoding: "form", Rotation: "maybe"},
		{Name: "openticket", UpstreamURL: "https://api.open.test", TokenURL: "https://auth.open.test/tokens", AuthorizeURL: "https://auth.open.test/authorize", ClientAuth: "body", Encoding: "json", Rotation: "single_use"},
		{Name: "ticketpark", UpstreamURL: "https://api.park.test", TokenURL: "https://api.park.test/oauth/v2/token", ClientAuth: "basic", Encoding: "form", Rotation: "single_use"},
		{Name: "generic", ClientAuth: "basic", Encoding: "form", Rotation: "maybe", Grants: []dialect.GrantType{dialect.GrantClientCredentials}},
	}
}

// vars returns an environment. It adds the prefix to each line. A later line outranks an
// earlier one.
func vars(lines ...string) []string {
	all := []string{"PATH=/bin", "HOME=/home/app"}
	for _, line := range lines {
		all = append(all, "TICKETPROXY_"+line)
	}
	return all
}

// park returns a valid configuration with further lines.
func park(lines ...string) []string {
	return vars(append([]string{"PROVIDER=ticketpark", "CLIENT_ID=an-id", "CLIENT_SECRET=a-secret"}, lines...)...)
}

// two returns a valid configuration of two upstreams, in which shop uses the account of
// park.
func two(lines ...string) []string {
	return vars(append([]string{
		"UPSTREAMS=park,shop",
		"PARK_PROVIDER=ticketpark", "PARK_CLIENT_ID=an-id", "PARK_CLIENT_SECRET=a-secret",
		"SHOP_ACCOUNT=park", "SHOP_UPSTREAM_URL=https://shop.park.test", "SHOP_LISTEN=127.0.0.1:8081",
	}, lines...)...)
}

// testFiles are the files that tests read, by path.
type testFiles map[string]string

func (f testFiles) read(path string) ([]byte, error) {
	content, ok := f[path]
	switch {
	case content == "forbidden":
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
	case !ok:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return []byte(content), nil
}

func parse(vars []string, files testFiles) (config.Config, error) {
	return config.Parse(config.Environment{Vars: vars, StateDir: "/home/app/.local/state/ticketproxy", ReadFile: files.read, Dialects: dialects()})
}

func mustParse(t *testing.T, vars []string, files testFiles) config.Config {
	t.Helper()
	c, err := parse(vars, files)
	if err != nil {
		t.Fatalf("unexpected error:\n%v", err)
	}
	return c
}

// mistakes returns the mistakes of a wrong configuration.
func mistakes(t *testing.T, vars []string, files testFiles) []config.Mistake {
	t.Helper()
	c, err := parse(vars, files)
	wrong, ok := errors.AsType[*config.Error](err)
	if !ok {
		t.Fatalf("Parse = %v, %v; want an *Error", c, err)
	}
	if len(c.Upstreams) != 0 {
		t.Error("Parse returned a Config with an error")
	}
	return wrong.Mistakes
}

// summary formats the fields of an upstream that several tests check.
func summary(u config.Upstream) string {
	return fmt.Sprintf("%s %s %s account=%s listen=%s host=%q prefix=%s auth=%s encoding=%s rotation=%s timeout=%s",
		u.Name, u.Provider, u.UpstreamURL, u.Account, u.Listen, u.Host, u.Prefix, u.ClientAuth, u.TokenEncoding, u.Rotation, u.Timeout)
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func bundle(t *testing.T, certificates int) string {
	t.Helper()
	var b strings.Builder
	for i := range certificates {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), NotAfter: time.Unix(1<<32, 0)}
		der, err := x509.CreateCertificate(nil, template, template, public, private)
		if err != nil {
			t.Fatal(err)
		}
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	return b.String()
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := mustParse(t, park(), nil)
	equal(t, "upstreams", len(c.Upstreams), 1)
	equal(t, "upstream", summary(c.Upstreams[0]), `ticketpark ticketpark https://api.park.test account=ticketpark listen=127.0.0.1:8080 host="" prefix=/ auth=basic encoding=form rotation=single_use timeout=1m0s`)
	equal(t, "token URL", c.Upstreams[0].TokenURL.String(), "https://api.park.test/oauth/v2/token")
	equal(t, "client id", c.Upstreams[0].ClientID, "an-id")
	equal(t, "client secret", c.Upstreams[0].ClientSecret.Reveal(), "a-secret")
	equal(t, "has a seed", !c.Upstreams[0].RefreshToken.IsZero(), false)
	equal(t, "owns its account", c.Upstreams[0].OwnsAccount(), true)
	equal(t, "state", c.State.String(), "file:/home/app/.local/state/ticketproxy")
	equal(t, "admin", c.AdminListen, "127.0.0.1:9090")
	equal(t, "quit", c.AdminQuit, false)
	equal(t, "unauthenticated", c.AllowUnauthenticated, false)
	equal(t, "log level", c.LogLevel, "info")
	equal(t, "log format", c.LogFormat, "")
	equal(t, "drain delay", c.DrainDelay, 0)
	equal(t, "drain timeout", c.DrainTimeout, 25*time.Second)
	equal(t, "hosts and origins", len(c.AllowedHosts)+len(c.AllowedOrigins), 0)
}

func TestDefaultsByDialect(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		provider, want, authorize string
		more                      []string
	}{
		{"socialboards", `https://api.boards.test auth=none encoding=form rotation=maybe`, "<nil>", nil},
		{"openticket", `https://api.open.test auth=body encoding=json rotation=single_use`, "https://auth.open.test/authorize", []string{"CLIENT_SECRET=a-secret"}},
		{"ticketpark", `https://api.park.test auth=basic encoding=form rotation=single_use`, "<nil>", []string{"CLIENT_SECRET=a-secret"}},
		{"generic", `https://api.any.test/v1 auth=body encoding=json rotation=none`, "https://id.any.test/auth", []string{
			"UPSTREAM_URL=https://api.any.test/v1/", "TOKEN_URL=https://id.any.test/token", "AUTHORIZE_URL=https://id.any.test/auth",
			"CLIENT_SECRET=a-secret", "CLIENT_AUTH=body", "TOKEN_ENCODING=json", "ROTATION=none",
		}},
	} {
		t.Run(tt.provider, func(t *testing.T) {
			t.Parallel()
			u := mustParse(t, vars(append(tt.more, "PROVIDER="+tt.provider, "CLIENT_ID=an-id")...), nil).Upstreams[0]
			got := fmt.Sprintf("%s auth=%s encoding=%s rotation=%s", u.UpstreamURL, u.ClientAuth, u.TokenEncoding, u.Rotation)
			equal(t, "upstream", got, tt.want)
			equal(t, "authorize URL", fmt.Sprint(u.AuthorizeURL), tt.authorize)
			equal(t, "name", u.Name, tt.provider)
		})
	}
}

func TestEveryVariableSet(t *testing.T) {
	t.Parallel()
	c := mustParse(t, park(
		"UPSTREAM_URL=HTTP://LocalHost:9000/base", "LISTEN=unix:/run/app/ticketproxy.sock", "HOST=Shop.LocalHost", "PREFIX=/park/",
		"TIMEOUT=1m30s", "REFRESH_TOKEN=a-seed", "CA_FILE=/ca.pem", "ACCOUNT=ticketpark",
		"STATE=file:///var/lib/ticketproxy/", "ADMIN_LISTEN=off", "ADMIN_QUIT=true",
		"ALLOWED_HOSTS=Tickets.internal, tickets.internal:8080,[::1]:80,", "ALLOWED_ORIGINS=https://App.example.com:443,http://localhost:3000",
		"LOG_LEVEL=debug", "LOG_FORMAT=console", "DRAIN_DELAY=5s", "DRAIN_TIMEOUT=0",
	), testFiles{"/ca.pem": "a comment\n" + bundle(t, 2)})
	u := c.Upstreams[0]
	equal(t, "upstream", summary(u), `ticketpark ticketpark http://localhost:9000/base account=ticketpark listen=unix:/run/app/ticketproxy.sock host="shop.localhost" prefix=/park auth=basic encoding=form rotation=single_use timeout=1m30s`)
	equal(t, "listen", u.Listen, config.Address{Network: "unix", Address: "/run/app/ticketproxy.sock"})
	equal(t, "seed", u.RefreshToken.Reveal(), "a-seed")
	equal(t, "certificates", len(u.CAs), 2)
	equal(t, "state", c.State.String(), "file:/var/lib/ticketproxy")
	equal(t, "admin", c.AdminListen, "")
	equal(t, "quit", c.AdminQuit, true)
	equal(t, "hosts", strings.Join(c.AllowedHosts, " "), "tickets.internal tickets.internal:8080 [::1]:80")
	equal(t, "origins", strings.Join(c.AllowedOrigins, " "), "https://app.example.com http://localhost:3000")
	equal(t, "log", c.LogLevel+" "+c.LogFormat, "debug console")
	equal(t, "drain", fmt.Sprint(c.DrainDelay, c.DrainTimeout), "5s 0s")
}

func TestSharedAccount(t *testing.T) {
	t.Parallel()
	c := mustParse(t, two("PARK_ROTATION=maybe", "PARK_TOKEN_URL=https://id.park.test/token", "PARK_REFRESH_TOKEN=a-seed"), nil)
	equal(t, "upstreams", len(c.Upstreams), 2)
	shop := c.Upstreams[1]
	equal(t, "shop", summary(shop), `shop ticketpark https://shop.park.test account=park listen=127.0.0.1:8081 host="" prefix=/ auth=basic encoding=form rotation=maybe timeout=1m0s`)
	equal(t, "shop's token URL", shop.TokenURL.String(), "https://id.park.test/token")
	equal(t, "shop owns its account", shop.OwnsAccount(), false)
	equal(t, "shop has credentials", shop.ClientID != "" || !shop.ClientSecret.IsZero() || !shop.RefreshToken.IsZero(), false)
}

func TestGoodConfigurations(t *testing.T) {
	t.Parallel()
	for name, environment := range map[string][]string{
		"empty is unset":                park("TIMEOUT=", "LISTEN=", "REFRESH_TOKEN_FILE=", "ROTATION=", "STATE=", "ADMIN_QUIT=", "UPSTREAM_URL=", "UPSTREAMS=", "ALLOWED_HOSTS="),
		"empty variable without a name": two("PROVIDER="),
		"names with dashes and blanks":  vars("UPSTREAMS= my-shop ,", "MY_SHOP_PROVIDER=socialboards", "MY_SHOP_CLIENT_ID=an-id"),
		"account before its owner":      two("UPSTREAMS=shop,park"),
		"account with its provider":     two("SHOP_PROVIDER=ticketpark"),
		"account with its own URL":      two("SHOP_UPSTREAM_URL=https://api.park.test", "SHOP_PREFIX=/again"),
		"one listener, two hosts":       two("SHOP_LISTEN=127.0.0.1:8080", "SHOP_HOST=shop.localhost", "PARK_HOST=park.localhost"),
		"one listener, two prefixes":    two("SHOP_LISTEN=", "SHOP_PREFIX=/shop"),
		"one host, any port each":       two("SHOP_LISTEN=127.0.0.1:0", "PARK_LISTEN=127.0.0.1:0", "ADMIN_LISTEN=127.0.0.1:0"),
		"one socket, two prefixes":      two("SHOP_LISTEN=unix:/s", "PARK_LISTEN=unix:/s", "SHOP_PREFIX=/shop"),
		"same port, other address":      two("PARK_LISTEN=127.0.0.1:8080", "SHOP_LISTEN=127.0.0.2:8080"),
		"both loopbacks":                two("PARK_LISTEN=127.0.0.1:8080", "SHOP_LISTEN=[::1]:8080"),
		"any v4, and v6 loopback":       two("PARK_LISTEN=0.0.0.0:8080", "SHOP_LISTEN=[::1]:8080", "ALLOW_UNAUTHENTICATED=true"),
		"off loopback, and allowed":     park("LISTEN=0.0.0.0:8080", "ALLOW_UNAUTHENTICATED=true"),
		"admin off loopback":            park("ADMIN_LISTEN=0.0.0.0:9090"),
		"memory, nothing rotates":       vars("PROVIDER=socialboards", "CLIENT_ID=an-id", "ROTATION=none", "STATE=memory:"),
		"http to loopback":              park("UPSTREAM_URL=http://api.localhost:1", "TOKEN_URL=http://[::1]:2/token", "AUTHORIZE_URL=http://127.1.2.3/x"),
		"a Service called ticketproxy":  park("SERVICE_HOST=10.0.0.1", "SERVICE_PORT=80", "SERVICE_PORT_HTTP=80", "PORT=tcp://10.0.0.1:80", "PORT_80_TCP=tcp://10.0.0.1:80", "PORT_80_TCP_ADDR=10.0.0.1", "ADMIN_SERVICE_HOST=10.0.0.2"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustParse(t, environment, nil)
		})
	}
}

func TestSecretFiles(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{"a-secret": "a-secret", "a-secret\n": "a-secret", "a-secret\r\n": "a-secret", "a b\n": "a b"} {
		environment := vars("PROVIDER=ticketpark", "CLIENT_ID=an-id", "CLIENT_SECRET_FILE=/secret", "REFRESH_TOKEN_FILE=/seed", "CLIENT_SECRET=")
		u := mustParse(t, environment, testFiles{"/secret": content, "/seed": "a-seed\n"}).Upstreams[0]
		equal(t, fmt.Sprintf("secret of %q", content), u.ClientSecret.Reveal(), want)
		equal(t, "seed", u.RefreshToken.Reveal(), "a-seed")
	}
}

func TestAdminListenAlone(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"": "127.0.0.1:9090", "off": "", "localhost:1": "localhost:1", "[::ffff:127.0.0.1]:1": "127.0.0.1:1"} {
		got, err := config.ParseAdminListen(config.Environment{Vars: vars("TIMEOUT=60", "ADMIN_LISTEN="+value)})
		if err != nil || got != want {
			t.Errorf("ParseAdminListen(%q) = %q, %v; want %q", value, got, err, want)
		}
	}
	_, err := config.ParseAdminListen(config.Environment{Vars: vars("ADMIN_LISTEN=9090")})
	if err == nil || !strings.Contains(err.Error(), "TICKETPROXY_ADMIN_LISTEN: ") {
		t.Errorf("error = %v, want one that names the variable", err)
	}
}

// TestProcessEnvironmentIsNotRead tests that Parse reads only the environment it is given.
func TestProcessEnvironmentIsNotRead(t *testing.T) {
	t.Setenv("TICKETPROXY_PROVIDER", "ticketpark")
	t.Setenv("TICKETPROXY_", "x")
	_, err := config.Parse(config.Environment{StateDir: "/state"})
	wrong, ok := errors.AsType[*config.Error](err)
	if !ok || !slices.ContainsFunc(wrong.Mistakes, func(m config.Mistake) bool { return m.Variable == "TICKETPROXY_PROVIDER" }) {
		t.Errorf("error = %v, want PROVIDER missing", err)
	}
}

// An issuer's endpoints may have a query (RFC 6749, sections 3.1 and 3.2).
func TestQueryOfIssuerURLsIsKept(t *testing.T) {
	t.Parallel()
	const token, authorize = "https://id.park.test/token?p=b2c_1", "https://id.park.test/authorize?p=b2c_1&prompt=consent"
	u := mustParse(t, park("TOKEN_URL="+token, "AUTHORIZE_URL="+authorize), nil).Upstreams[0]
	equal(t, "token URL", u.Dialect.TokenURL, token)
	equal(t, "authorize URL", u.Dialect.AuthorizeURL, authorize)
}

func TestRefusedStatus(t *testing.T) {
	t.Parallel()
	u := mustParse(t, park("REFUSED_STATUS=403, 419,400,599"), nil).Upstreams[0]
	equal(t, "statuses", fmt.Sprint(u.RefusedStatus), "[403 419 400 599]")
	equal(t, "none", len(mustParse(t, park(), nil).Upstreams[0].RefusedStatus), 0)
}

// ISSUER_URL stands for TOKEN_URL, and for CLIENT_AUTH unless that is set. A client without
// a secret is a public one then.
func TestIssuerURL(t *testing.T) {
	t.Parallel()
	base := []string{"PROVIDER=generic", "CLIENT_ID=x", "UPSTREAM_URL=https://a.test", "ISSUER_URL=https://id.test/tenant"}
	for _, test := range []struct {
		more []string
		auth string
		any  bool
	}{
		{nil, "none", true},
		{[]string{"CLIENT_SECRET=y"}, "basic", true},
		{[]string{"CLIENT_SECRET=y", "CLIENT_AUTH=body"}, "body", false},
	} {
		u := mustParse(t, vars(append(test.more, base...)...), nil).Upstreams[0]
		equal(t, "issuer", u.IssuerURL.String(), "https://id.test/tenant")
		equal(t, "token URL", u.TokenURL == nil && u.Dialect.TokenURL == "", true)
		equal(t, "client authentication", fmt.Sprint(u.ClientAuth, u.AnyClientAuth), fmt.Sprint(test.auth, test.any))
	}
}

// With client_credentials nothing rotates, so the state may be in memory.
func TestClientCredentials(t *testing.T) {
	t.Parallel()
	c := mustParse(t, vars("PROVIDER=generic", "CLIENT_ID=x", "CLIENT_SECRET=y", "UPSTREAM_URL=https://a.test",
		"TOKEN_URL=https://b.test/token", "GRANT=client_credentials", "STATE=memory:"), nil)
	u := c.Upstreams[0]
	equal(t, "rotation", u.Rotation+" "+string(u.Dialect.Rotation), "none none")
	equal(t, "client credentials", u.ClientCredentials(), true)
	equal(t, "by default", mustParse(t, park(), nil).Upstreams[0].ClientCredentials(), false)
}

func TestTokenRequests(t *testing.T) {
	t.Parallel()
	u := mustParse(t, park(
		"SCOPE=openid offline_access", "TOKEN_PARAMS=audience=https%3A%2F%2Fapi.test&resource=a&resource=b+c",
		"TOKEN_HEADERS=X-Tenant: one, x-api-key=a%2Cb%25,,X-Empty:",
	), nil).Upstreams[0]
	equal(t, "scope", u.Scope, "openid offline_access")
	equal(t, "parameters", fmt.Sprint(u.Params()), "map[audience:[https://api.test] resource:[a b c]]")
	equal(t, "headers", fmt.Sprint(u.Headers()), "map[X-Api-Key:[a,b%] X-Empty:[] X-Tenant:[one]]")
	none := mustParse(t, park(), nil).Upstreams[0]
	equal(t, "none", len(none.Params())+len(none.Headers()), 0)
	file := mustParse(t, park("TOKEN_HEADERS_FILE=/headers"), testFiles{"/headers": "X-Api-Key: a\n"}).Upstreams[0]
	equal(t, "of a file", file.Headers().Get("X-Api-Key"), "a")
}

func TestTokenListen(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Address{
		"": {}, "off": {}, "127.0.0.1:8082": {Network: "tcp", Address: "127.0.0.1:8082"}, "[::1]:8080": {Network: "tcp", Address: "[::1]:8080"},
		"LOCALHOST:8082": {Network: "tcp", Address: "localhost:8082"}, "unix:/run/tokens.sock": {Network: "unix", Address: "/run/tokens.sock"},
	} {
		c, err := config.Parse(config.Environment{Vars: park("TOKEN_LISTEN=" + text), StateDir: "/state", Dialects: dialects()})
		if err != nil || c.TokenListen != want {
			t.Errorf("%q: %v, error %v", text, c.TokenListen, err)
		}
		alone, err := config.ParseTokenListen(config.Environment{Vars: vars("TOKEN_LISTEN="+text, "TIMEOUT=wrong")})
		if err != nil || alone != want {
			t.Errorf("%q alone: %v, error %v", text, alone, err)
		}
	}
	if _, err := config.ParseTokenListen(config.Environment{Vars: vars("TOKEN_LISTEN=8082")}); err == nil {
		t.Error("no error for a port without a host")
	}
}
