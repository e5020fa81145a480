package dialect_test

import (
	"encoding/json"
	"slices"
	"testing"

	"ticketproxy/tokens/dialect"
)

func TestDialects(t *testing.T) {
	t.Parallel()
	var names []string
	for _, d := range dialect.All() {
		names = append(names, d.Name)
		if !json.Valid([]byte(d.StubAnswer)) {
			t.Errorf("%s: the stub answer is not JSON: %s", d.Name, d.StubAnswer)
		}
		if !d.Allows(dialect.GrantRefreshToken) {
			t.Errorf("%s cannot refresh", d.Name)
		}
		if d.Name != "generic" && d.Allows(dialect.GrantAuthorizationCode) != (d.AuthorizeURL != "") {
			t.Errorf("%s: authorize URL and grants differ", d.Name)
		}
		for i := range d.Grants { // All returns copies
			d.Grants[i] = ""
		}
	}
	for _, want := range []string{"socialboards", "openticket", "ticketpark", "generic"} {
		if !slices.Contains(names, want) {
			t.Errorf("dialects are %q, without %s", names, want)
		}
	}
	for _, name := range names {
		if d, ok := dialect.Lookup(name); !ok || d.Name != name || !d.Allows(dialect.GrantRefreshToken) {
			t.Errorf("%s was changed by a caller", name)
		}
	}
	if _, ok := dialect.Lookup("Generic"); ok {
		t.Error("a name in another case is found")
	}
}

// Lifetimes of refresh tokens are as the vendors document them.
func TestRefreshLifetimes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"openticket": "8760h0m0s", "ticketpark": "336h0m0s", "socialboards": "0s", "generic": "0s"} {
		d, _ := dialect.Lookup(name)
		if got := d.RefreshLifetime.String(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
