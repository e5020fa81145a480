package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
)

func TestHintFor(t *testing.T) {
	t.Parallel()
	refused := func(code string) error {
		return &tokens.IssuerError{Class: tokens.Refused, Status: 401, Code: code}
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	plain := config.Upstream{Name: "park", EnvPrefix: "TICKETPROXY_PARK_", ClientID: "id", ClientSecret: secret.New("plain")}
	special, file, basic, plainBasic, own := plain, plain, plain, plain, plain
	own.Grant = "client_credentials"
	special.ClientSecret = secret.New("a+b/c")
	file.SecretFile = "/run/secret"
	basic.ClientSecret, basic.ClientAuth = special.ClientSecret, "basic"
	plainBasic.ClientSecret, plainBasic.ClientAuth = special.ClientSecret, "basic_plain"
	const (
		client = "check TICKETPROXY_PARK_CLIENT_ID, TICKETPROXY_PARK_CLIENT_SECRET and TICKETPROXY_PARK_CLIENT_AUTH, " +
			"and start again with the right ones"
		later = "nothing to do: the issuer is asked again in 60 s"
	)
	for name, tt := range map[string]struct {
		upstream config.Upstream
		state    string
		cause    error
		want     string
	}{
		"ready":        {plain, tokens.Ready, nil, ""},
		"dead":         {plain, tokens.Dead, errors.New("spent"), "run ticketproxy login park, or set TICKETPROXY_PARK_REFRESH_TOKEN to a new refresh token"},
		"wrong secret": {plain, tokens.Degraded, refused("invalid_client"), client},
		"wrong grant":  {special, tokens.Unavailable, refused("unauthorized_client"), client},
		"not for this grant": {own, tokens.Unavailable, refused("unauthorized_client"),
			"have the issuer allow this client client_credentials, or check TICKETPROXY_PARK_GRANT"},
		"secret in a file": {file, tokens.Degraded, refused("invalid_client"),
			"check TICKETPROXY_PARK_CLIENT_ID, the file of TICKETPROXY_PARK_CLIENT_SECRET_FILE, and TICKETPROXY_PARK_CLIENT_AUTH; " +
				"after a change of the file, SIGHUP is enough"},
		"encoded secret": {basic, tokens.Degraded, refused("invalid_client"), client +
			"; the credentials have characters that TICKETPROXY_PARK_CLIENT_AUTH=basic encodes, and many issuers want basic_plain"},
		"plain secret": {plainBasic, tokens.Degraded, refused("invalid_client"), client +
			"; the credentials have characters that TICKETPROXY_PARK_CLIENT_AUTH=basic would encode, as RFC 6749 wants it"},
		"not the token endpoint": {plain, tokens.Unavailable, refused(""),
			"check TICKETPROXY_PARK_TOKEN_URL, TICKETPROXY_PARK_CLIENT_AUTH and TICKETPROXY_PARK_TOKEN_ENCODING; " +
				"when they are right, the refresh token may be spent: run ticketproxy login park, " +
				"or set TICKETPROXY_PARK_REFRESH_TOKEN to a new refresh token"},
		"a web page": {
			plain, tokens.Unavailable,
			&tokens.IssuerError{Class: tokens.Ambiguous, Status: 200, Err: errors.New("answer is not a JSON object")},
			later + "; if this stays, see that TICKETPROXY_PARK_TOKEN_URL is the token endpoint",
		},
		"refused for now": {plain, tokens.Unavailable, refused("temporarily_unavailable"), later},
		"no connection": {plain, tokens.Unavailable, &tokens.IssuerError{Class: tokens.NotSent},
			"see that TICKETPROXY_PARK_TOKEN_URL is right and can be reached; ticketproxy check tells more"},
		"issuer is down": {plain, tokens.Unavailable, &tokens.IssuerError{Class: tokens.Ambiguous, Status: 500}, later},
		"throttled": {plain, tokens.Degraded, &tokens.IssuerError{Class: tokens.Throttled, Status: 429},
			later + ", and apps are served until 2026-01-02T04:04:05Z"},
		"damaged state": {plain, tokens.Degraded, fmt.Errorf("loading: %w", hint.With(tokens.ErrDamaged, "move it away")), "move it away"},
		"unsaved": {plain, tokens.Unsaved, errors.New("input/output error"),
			"make the directory of TICKETPROXY_STATE writable before this instance ends; ticketproxy check tells more"},
	} {
		s := tokens.Status{Account: "park", State: tt.state, Cause: tt.cause, NextRefresh: now.Add(time.Minute)}
		if tt.state == tokens.Degraded {
			s.Usable, s.Expiry = true, now.Add(time.Hour)
		}
		if got := hintFor(s, config.State{}, tt.upstream, now); got != tt.want {
			t.Errorf("%s: hint %q, want %q", name, got, tt.want)
		}
	}
}

// TestLoginHint checks that the variable in the hint is one that the upstream has.
func TestLoginHint(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	one := []string{"TICKETPROXY_PROVIDER=socialboards", "TICKETPROXY_CLIENT_ID=x", "TICKETPROXY_STATE=file:/state"}
	two := []string{
		"TICKETPROXY_UPSTREAMS=park", "TICKETPROXY_PARK_PROVIDER=socialboards", "TICKETPROXY_PARK_CLIENT_ID=x",
		"TICKETPROXY_STATE=file:/state",
	}
	for want, vars := range map[string][]string{
		"run ticketproxy login socialboards, or set TICKETPROXY_REFRESH_TOKEN to a new refresh token": one,
		"run ticketproxy login park, or set TICKETPROXY_PARK_REFRESH_TOKEN to a new refresh token":    two,
		"run ticketproxy login park, or write a new refresh token to the file of TICKETPROXY_PARK_REFRESH_TOKEN_FILE": append(
			two, "TICKETPROXY_PARK_REFRESH_TOKEN_FILE="+file),
		"set TICKETPROXY_REFRESH_TOKEN to a new refresh token": append(slices.Clone(one[:2]), "TICKETPROXY_STATE=memory:",
			"TICKETPROXY_ROTATION=none", "TICKETPROXY_REFRESH_TOKEN=text"),
	} {
		c, err := config.Parse(config.Environment{Vars: vars})
		if err != nil {
			t.Fatal(err)
		}
		if got := loginHint(c.State, c.Upstreams[0]); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
