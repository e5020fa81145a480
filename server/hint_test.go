package server

import (
	"errors"
	"fmt"
	"strings"
	"testing"

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
		got := hintFor(tokens.Status{Account: "park", State: tt.state, Cause: tt.cause})
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: hint %q, want %q", name, got, tt.want)
		}
	}
}
