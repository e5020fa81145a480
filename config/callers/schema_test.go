package callers

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"
)

// TestSchemaHasEveryField tests that callers.schema.json and the reader know the same keys.
// That it accepts and refuses the examples is tested in e2e, with a validator.
func TestSchemaHasEveryField(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("callers.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Description string
		Additional  any `json:"additionalProperties"`
		Properties  map[string]struct {
			Description string
			Ref         string `json:"$ref"`
			Additional  any    `json:"additionalProperties"`
			Properties  map[string]any
		}
		Definitions map[string]json.RawMessage
	}
	var schema object
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	r := &reader{}
	for name, fields := range map[string][]field{
		"":       r.fileFields(&File{}),
		"issuer": r.issuerFields(&Issuer{}),
		"caller": r.callerFields(&draft{}),
		"rule":   r.ruleFields(&Rule{}),
		"limit":  r.limitFields(&Limit{}),
	} {
		o := schema
		if name != "" {
			o = object{}
			if err := json.Unmarshal(schema.Definitions[name], &o); err != nil {
				t.Fatal(name, err)
			}
		}
		sameKeys(t, name, fields, o.Properties, o.Additional)
		for key, p := range o.Properties {
			if p.Description == "" && p.Ref == "" {
				t.Errorf("%s.%s has no description", name, key)
			}
		}
		if name == "caller" {
			sameKeys(t, "rate", r.rateFields(&Rate{}), o.Properties["rate"].Properties, o.Properties["rate"].Additional)
		}
	}
}

func sameKeys[V any](t *testing.T, name string, fields []field, properties map[string]V, additional any) {
	t.Helper()
	var want []string
	for _, f := range fields {
		want = append(want, f.name)
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(properties)); !slices.Equal(got, want) {
		t.Errorf("the schema's %q has %q, and the file %q", name, got, want)
	}
	if additional != false {
		t.Errorf("the schema's %q allows unknown keys", name)
	}
}
