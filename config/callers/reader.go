package callers

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A reader goes through a YAML document. Its methods report what is wrong with a node and
// return false. Where a node stands is told as a path of names, like callers.shop.may[0].
type reader struct {
	report
	lines map[string]int // by place
}

// A field is a key that an object of the file may have.
type field struct {
	name string
	read func(at string, n *yaml.Node)
}

// names are what callers and issuers may be called.
var names = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

const hintForName = "write a name of lower-case letters, digits and -, beginning with a letter, of at most 63 " +
	"characters"

// object reads a mapping whose keys are those of the fields.
func (r *reader) object(at string, n *yaml.Node, fields []field) bool {
	var known []string
	for _, f := range fields {
		known = append(known, f.name)
	}
	return r.pairs(at, n, func(key, value *yaml.Node) {
		for _, f := range fields {
			if f.name == key.Value {
				if at := below(at, f.name); r.hasValue(at, value) {
					f.read(at, value)
				}
				return
			}
		}
		r.add(key.Line, at, quote(key.Value)+" is not known here", hintFor(key.Value, known))
	})
}

// entries reads a mapping whose keys are names that the user chose.
func (r *reader) entries(at string, n *yaml.Node, read func(name, at string, n *yaml.Node)) {
	r.pairs(at, n, func(key, value *yaml.Node) {
		if !names.MatchString(key.Value) {
			r.add(key.Line, at, quote(key.Value)+" is not a name", hintForName)
			return
		}
		at := below(at, key.Value)
		r.lines[at] = key.Line
		if r.hasValue(at, value) {
			read(key.Value, at, value)
		}
	})
}

// pairs reads a mapping, and refuses keys that are given twice.
func (r *reader) pairs(at string, n *yaml.Node, read func(key, value *yaml.Node)) bool {
	if n.Kind != yaml.MappingNode {
		r.add(n.Line, at, "is "+kind(n)+", and not a mapping of names to values", "write it as NAME: VALUE, one a line")
		return false
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			r.add(key.Line, at, "has a key that is "+kind(key), "write a name before the colon")
		case first[key.Value] != 0:
			r.add(key.Line, at, fmt.Sprintf("%s is given twice, first in line %d", quote(key.Value), first[key.Value]),
				"keep one of the two")
		default:
			first[key.Value] = key.Line
			read(key, value)
		}
	}
	return true
}

// hasValue refuses a key without a value.
func (r *reader) hasValue(at string, n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!null" {
		return true
	}
	r.add(n.Line, at, "has no value", "give it one, or remove it")
	return false
}

// list reads a sequence.
func (r *reader) list(at string, n *yaml.Node, read func(at string, n *yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.add(n.Line, at, "is "+kind(n)+", and not a list", "write it in brackets, like [ONE, TWO]")
		return
	}
	for i, item := range n.Content {
		if at := fmt.Sprintf("%s[%d]", at, i); r.hasValue(at, item) {
			read(at, item)
		}
	}
}

// filled is list for one whose emptiness could be understood in two ways.
func (r *reader) filled(at string, n *yaml.Node, hint string, read func(at string, n *yaml.Node)) {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		r.add(n.Line, at, "is empty", hint)
		return
	}
	r.list(at, n, read)
}

// text reads a string. It refuses what YAML takes for a number, a boolean or a date.
func (r *reader) text(at string, n *yaml.Node) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		r.add(n.Line, at, "is "+kind(n)+", and not a text", "write one text")
		return "", false
	case n.ShortTag() != "!!str":
		r.add(n.Line, at, "is "+kind(n)+" to YAML, and not a text", "write it in quotation marks")
		return "", false
	}
	return n.Value, true
}

// boolean reads true or false.
func (r *reader) boolean(at string, n *yaml.Node, into *bool) {
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" && strings.EqualFold(n.Value, "true"):
		*into = true
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" && strings.EqualFold(n.Value, "false"):
		*into = false
	default:
		r.add(n.Line, at, "is "+kind(n)+", and neither true nor false", "write true or false")
	}
}

// number is the syntax of JSON's numbers. YAML has more, and takes 010 for 8.
var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// integer reads a whole number in decimal.
func (r *reader) integer(at string, n *yaml.Node, least, most uint64) (uint64, bool) {
	value, err := strconv.ParseUint(n.Value, 10, 64)
	decimal := n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int" && number.MatchString(n.Value)
	if !decimal || err != nil || value < least || value > most {
		r.add(n.Line, at, fmt.Sprintf("is not a whole number from %d to %d", least, most), "write a number in digits")
		return 0, false
	}
	return value, true
}

// count reads a positive number.
func (r *reader) count(at string, n *yaml.Node, into *int) {
	if value, ok := r.integer(at, n, 1, 1_000_000_000); ok {
		*into = int(value)
	}
}

// scalar reads a value of a claim.
func (r *reader) scalar(at string, n *yaml.Node) (any, bool) {
	const hint = "write a text, a number, true or false, or a list of such values"
	if n.Kind != yaml.ScalarNode {
		r.add(n.Line, at, "is "+kind(n), hint)
		return nil, false
	}
	switch n.ShortTag() {
	case "!!str":
		return n.Value, true
	case "!!bool":
		var value bool
		r.boolean(at, n, &value)
		return value, true
	case "!!int", "!!float":
		value, err := strconv.ParseFloat(n.Value, 64)
		if err == nil && number.MatchString(n.Value) && math.Abs(value) < maxExact {
			return value, true
		}
		r.add(n.Line, at, "is a number that JSON does not have, or not exactly", "write a smaller number in decimal, "+
			"or in quotation marks if tokens have a text there")
		return nil, false
	}
	r.add(n.Line, at, "is "+kind(n)+" to YAML", "write it in quotation marks")
	return nil, false
}

// has reports whether a mapping has one of these keys.
func has(n *yaml.Node, keys ...string) bool {
	for i := 0; i < len(n.Content); i += 2 {
		if slices.Contains(keys, n.Content[i].Value) {
			return true
		}
	}
	return false
}

// kind says what a node is.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a boolean"
	case "!!timestamp":
		return "a date"
	case "!!null":
		return "empty"
	}
	return "a text"
}

// below returns the place of a name in an object.
func below(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}
