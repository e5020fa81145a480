package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// TestCallersSchema tests, with a validator that others wrote, that the schema for editors
// accepts what the program accepts, and refuses what it refuses as far as a schema can.
func TestCallersSchema(t *testing.T) {
	t.Parallel()
	const dir = "../config/callers/"
	file, err := os.Open(dir + "callers.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	document, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("callers.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("callers.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[bool]int{}
	for _, examples := range []string{"accepted.txt", "refused.txt"} {
		data, err := os.ReadFile(dir + "testdata/" + examples)
		if err != nil {
			t.Fatal(err)
		}
		for _, example := range strings.Split("\n"+string(data), "\n=== ")[1:] {
			name, text, _ := strings.Cut(example, "\n")
			if i := strings.LastIndex(text, "\n---\n"); i >= 0 {
				text = text[:i+1]
			}
			refused := strings.HasSuffix(name, " (schema)")
			if !refused && examples == "refused.txt" {
				continue
			}
			counts[refused]++
			validateParts(t, name, text, refused, schema)
		}
	}
	if counts[true] < 15 || counts[false] < 5 {
		t.Errorf("%d examples were refused, %d accepted", counts[true], counts[false])
	}
}

// validateParts validates an example. Of one that is refused it also validates each caller,
// issuer and limit alone, so that no mistake hides behind another's.
func validateParts(t *testing.T, name, text string, refused bool, schema *jsonschema.Schema) {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(name, err)
	}
	validate := func(what string, value any) {
		data, err := json.Marshal(value)
		if err != nil {
			return // .inf, which no JSON has
		}
		decoded, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
		if err != nil {
			t.Fatal(name, err)
		}
		if err := schema.Validate(decoded); (err != nil) != refused {
			t.Errorf("%s, %s: refused %v, want %v: %v", name, what, err != nil, refused, err)
		}
	}
	validate("the file", value)
	file, ok := value.(map[string]any)
	if !ok || !refused {
		return
	}
	for _, kind := range []string{"issuers", "callers", "limits"} {
		parts, _ := file[kind].(map[string]any)
		for key, part := range parts {
			one := map[string]any{"callers": map[string]any{}}
			one[kind] = map[string]any{key: part}
			if !accepted(key, name) {
				validate(kind+"."+key, one)
			}
		}
	}
}

// accepted reports whether a part of a refused example is refused only beside another part, or
// not at all.
func accepted(key, name string) bool {
	switch name {
	case "names that are no ServiceAccounts (schema)":
		return key == "cluster"
	case "tokens of issuers (schema)":
		return key == "ci" || key == "d"
	case "claims (schema)":
		return key == "ci"
	case "issuers (schema)":
		return key == "l"
	}
	return false
}
