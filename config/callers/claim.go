package callers

import (
	"encoding/json"
	"math"
	"slices"
)

// A Claim is a claim that a token must have.
type Claim struct {
	Name   string
	Values []any // any of them; each is a string, a bool or a float64
}

// maxExact is the number below which all integers are exact in a float64.
const maxExact = 1 << 53

// Match reports whether a claim's value, as encoding/json decodes it into an any, with
// UseNumber or without, is one of the values. A value of another type does not match, and
// neither does a list or an object, whatever is in it.
func (c Claim) Match(value any) bool {
	if number, ok := value.(json.Number); ok {
		f, err := number.Float64()
		if err != nil {
			return false
		}
		value = f
	}
	switch n := value.(type) {
	case string, bool:
	case float64:
		if math.Abs(n) >= maxExact {
			return false
		}
	default:
		return false
	}
	return slices.Contains(c.Values, value)
}

// disjoint reports whether no token can have all claims of both.
func disjoint(a, b []Claim) bool {
	for _, c := range a {
		for _, d := range b {
			if c.Name == d.Name && !slices.ContainsFunc(c.Values, func(v any) bool { return slices.Contains(d.Values, v) }) {
				return true
			}
		}
	}
	return false
}
