package config

import (
	"reflect"
	"strings"

	"ticketproxy/secret"
)

// settings is what is said once for the whole program.
type settings struct {
	Names []string `env:"UPSTREAMS" default:"none: one upstream without a name" desc:"names for several upstreams, like park,shop; each then has variables of its own, like TICKETPROXY_PARK_PROVIDER"`
	Config
}

// fileSuffix makes of a secret's variable the one that holds a path instead.
const fileSuffix = "_FILE"

// A field is a struct field that a variable fills, as its tags declare it.
type field struct {
	name     string // the Go field's
	key      string // the variable's, without any prefix
	meaning  string
	fallback string // as the user is told
	choices  []string
	secret   bool
	index    []int
}

// variables returns the names of the variables that may fill the field.
func (f field) variables(prefix string) []string {
	if f.secret {
		return []string{prefix + f.key, prefix + f.key + fileSuffix}
	}
	return []string{prefix + f.key}
}

// fields returns T's fields that variables fill, in order of declaration.
func fields[T any]() []field { return fieldsOf(reflect.TypeFor[T]()) }

func fieldsOf(t reflect.Type) []field {
	var all []field
	for _, sf := range reflect.VisibleFields(t) {
		key := sf.Tag.Get("env")
		if key == "" || key == "-" {
			continue
		}
		fallback, ok := sf.Tag.Lookup("envDefault")
		if !ok {
			fallback = sf.Tag.Get("default")
		}
		all = append(all, field{
			name:     sf.Name,
			key:      key,
			meaning:  sf.Tag.Get("desc"),
			fallback: fallback,
			choices:  strings.Fields(sf.Tag.Get("oneof")),
			secret:   sf.Type == reflect.TypeFor[secret.String](),
			index:    sf.Index,
		})
	}
	return all
}

// names returns the names of all variables of T under a prefix.
func names[T any](prefix string) []string {
	var all []string
	for _, f := range fields[T]() {
		all = append(all, f.variables(prefix)...)
	}
	return all
}
