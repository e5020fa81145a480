package dialect_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
		if !strings.Contains(d.StubAnswer, `"expires_in":`) { // as the stub token endpoint looks for it
			t.Errorf("%s: the stub answer has no expires_in: %s", d.Name, d.StubAnswer)
		}
		if !d.Allows(dialect.GrantRefreshToken) {
			t.Errorf("%s cannot refresh", d.Name)
		}
		if !slices.Contains([]dialect.ClientAuth{dialect.AuthNone, dialect.AuthBody, dialect.AuthBasic, dialect.AuthBasicPlain}, d.ClientAuth) {
			t.Errorf("%s: ClientAuth is %q", d.Name, d.ClientAuth)
		}
		if d.Encoding != dialect.EncodingForm && d.Encoding != dialect.EncodingJSON {
			t.Errorf("%s: Encoding is %q", d.Name, d.Encoding)
		}
		rotations := []dialect.Rotation{dialect.RotationNone, dialect.RotationMaybe, dialect.RotationSingleUse}
		if !slices.Contains(rotations, d.Rotation) {
			t.Errorf("%s: Rotation is %q", d.Name, d.Rotation)
		}
		if d.Name != "generic" && d.Allows(dialect.GrantAuthorizationCode) != (d.AuthorizeURL != "") {
			t.Errorf("%s: authorize URL and grants differ", d.Name)
		}
		for i := range d.Grants { // All returns copies
			d.Grants[i] = ""
		}
	}
	if names[len(names)-1] != "generic" {
		t.Errorf("dialects are %q, want the generic one last", names)
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

// TestEveryDialectIsKnown checks that the places which name all providers name each of
// them, and that the requests to each are tested.
func TestEveryDialectIsKnown(t *testing.T) {
	t.Parallel()
	const chart = "../../charts/ticketproxy/"
	places := []string{chart + "values.schema.json", chart + "values.yaml", chart + "README.md", "../../README.md"}
	for _, d := range dialect.All() {
		for _, path := range places {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), d.Name) {
				t.Errorf("%s does not name %s", path, d.Name)
			}
		}
		if tested, err := filepath.Glob("../issuer/testdata/" + d.Name + "_refresh*.request"); len(tested) == 0 {
			t.Errorf("tokens/issuer/golden_test.go has no refresh of %s: %v", d.Name, err)
		}
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
