package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/tokens"
)

func TestHintFor(t *testing.T) {
	t.Parallel()
	refused := func(code string) error {
		return &tokens.IssuerError{Class: tokens.Refused, Status: 401, Code: code}
	}
	for name, tt := range map[string]struct {
		state string
		cause error
		want  string // "" for no hint
	}{
		"ready":                  {tokens.Ready, nil, ""},
		"dead":                   {tokens.Dead, errors.New("spent"), "ticketproxy login park"},
		"wrong secret":           {tokens.Degraded, refused("invalid_client"), "CLIENT_SECRET of account park"},
		"wrong grant":            {tokens.Unavailable, refused("unauthorized_client"), "CLIENT_ID"},
		"not the token endpoint": {tokens.Unavailable, refused(""), "TOKEN_URL"},
		"refused for now":        {tokens.Degraded, refused("temporarily_unavailable"), ""},
		"no connection":          {tokens.Unavailable, &tokens.IssuerError{Class: tokens.NotSent}, "ticketproxy check"},
		"issuer is down":         {tokens.Degraded, &tokens.IssuerError{Class: tokens.Ambiguous, Status: 500}, ""},
		"throttled":              {tokens.Degraded, &tokens.IssuerError{Class: tokens.Throttled, Status: 429}, ""},
		"damaged state":          {tokens.Degraded, fmt.Errorf("loading: %w", hint.With(tokens.ErrDamaged, "move it away")), "move it away"},
		"unsaved":                {tokens.Unsaved, errors.New("input/output error"), "TICKETPROXY_STATE writable"},
	} {
		got := hintFor(tokens.Status{Account: "park", State: tt.state, Cause: tt.cause}, "run ticketproxy login park")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
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
	} {
		c, err := config.Parse(config.Environment{Vars: vars})
		if err != nil {
			t.Fatal(err)
		}
		if got := loginHint(c.Upstreams[0]); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
