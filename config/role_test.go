package config_test

import (
	"strings"
	"testing"
)

// reader returns the variables of a reader.
func reader(lines ...string) []string {
	return vars(append([]string{"PROVIDER=ticketpark", "ROLE=reader", "STATE=kubernetes:tickets/state"}, lines...)...)
}

// TestReader tests that a reader needs no credentials, ignores those that it shares an
// environment with, and reads no file of theirs.
func TestReader(t *testing.T) {
	t.Parallel()
	for name, environment := range map[string][]string{
		"nothing more": reader(),
		"shared":       reader("CLIENT_ID=an-id", "CLIENT_SECRET=canary", "TOKEN_PARAMS=a=canary", "SCOPE=x"),
		"not mounted":  reader("CLIENT_SECRET_FILE=/none", "TOKEN_HEADERS_FILE=/forbidden"),
		"own":          reader("GRANT=client_credentials"),
		"generic":      reader("PROVIDER=generic", "UPSTREAM_URL=https://a.test"),
		"discovery":    reader("PROVIDER=generic", "UPSTREAM_URL=https://a.test", "ISSUER_URL=https://b.test"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := mustParse(t, environment, testFiles{"/forbidden": "forbidden"})
			u := c.Upstreams[0]
			if !c.Reader() || !u.OwnsAccount() || u.UpstreamURL == nil {
				t.Errorf("%+v", c)
			}
			if !u.ClientSecret.IsZero() || !u.RefreshToken.IsZero() || !u.TokenParams.IsZero() || u.SeedFile != "" || c.SecretFiles != nil {
				t.Errorf("a reader holds secrets: %+v", u)
			}
		})
	}
	if c := mustParse(t, park(), nil); c.Reader() || c.Role != "refresher" {
		t.Errorf("the default is %q", c.Role)
	}
}

// TestWrongReaders tests what a reader must not have, and what it needs.
func TestWrongReaders(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		vars                    []string
		variable, problem, hint string
	}{
		"seed":         {reader("REFRESH_TOKEN=canary"), "REFRESH_TOKEN", "must not be given to a reader", "to the refreshers alone"},
		"seed's file":  {reader("REFRESH_TOKEN_FILE=/none"), "REFRESH_TOKEN_FILE", "must not be given to a reader", "remove it here"},
		"file state":   {reader("STATE=file:/state"), "ROLE", "file: has none", "kubernetes:NAMESPACE/NAME or postgres://"},
		"memory state": {reader("STATE=memory:", "ROTATION=none"), "ROLE", "memory: has none", "kubernetes:NAMESPACE/NAME"},
		"no state":     {reader("STATE="), "ROLE", "place of its own for access tokens", "kubernetes:NAMESPACE/NAME"},
		"no API":       {reader("PROVIDER=generic"), "UPSTREAM_URL", "is required", "https://api.example.com"},
		"no provider":  {reader("PROVIDER="), "PROVIDER", "is required", "ticketpark"},
		"role":         {park("ROLE=writer"), "ROLE", `"writer" is not known here`, "refresher or reader"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := mistakes(t, tt.vars, nil)
			if len(all) != 1 || all[0].Variable != "TICKETPROXY_"+tt.variable ||
				!strings.Contains(all[0].Problem, tt.problem) || !strings.Contains(all[0].Hint, tt.hint) ||
				strings.Contains(all[0].Problem+all[0].Hint, "canary") {
				t.Errorf("mistakes %q", all)
			}
		})
	}
}
