package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"ticketproxy/secret"
	"ticketproxy/tokens/agekey"
	"ticketproxy/tokens/dialect"
)

// A parser reads one environment and collects its mistakes.
type parser struct {
	vars     map[string]string // the variables with Prefix
	readFile func(string) ([]byte, error)
	dialects []dialect.Dialect
	known    []string // the variables that this environment may have, in order
	report   report
	reader   bool // ROLE is reader

	secretFiles []SecretFile // the files that were read
}

func newParser(environment Environment) *parser {
	p := &parser{
		vars:     make(map[string]string),
		readFile: environment.ReadFile,
		dialects: environment.Dialects,
		known:    names[settings](Prefix),
	}
	if p.readFile == nil {
		p.readFile = readFile
	}
	if p.dialects == nil {
		p.dialects = dialect.All()
	}
	for _, line := range environment.Vars {
		if name, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, Prefix) {
			p.vars[name] = value
		}
	}
	return p
}

// keep drops all variables but one.
func (p *parser) keep(variable string) {
	for name := range p.vars {
		if name != variable {
			delete(p.vars, name)
		}
	}
}

// fill sets target, a pointer to a struct, from the variables with a prefix. For a
// variable that is not set it uses defaults, by key.
func (p *parser) fill(target any, prefix string, defaults map[string]string) {
	into := reflect.ValueOf(target).Elem()
	declared := fieldsOf(into.Type())
	// Not nil, because env would then read the process's environment.
	values := make(map[string]string, len(declared))
	for _, f := range declared {
		if f.secret && f.account && p.reader {
			continue // a reader has no use for it, and must not hold it
		}
		if f.state {
			values[prefix+f.key], _ = p.given(prefix + f.key)
		} else if f.secret {
			values[prefix+f.key] = p.secret(prefix + f.key)
		} else {
			values[prefix+f.key] = cmp.Or(p.vars[prefix+f.key], defaults[f.key])
		}
	}
	err := env.ParseWithOptions(target, env.Options{Environment: values, Prefix: prefix, FuncMap: syntaxes()})
	if err != nil {
		p.flaws(err, declared, prefix)
	}
	for _, f := range declared {
		if len(f.choices) == 0 {
			continue
		}
		value := into.FieldByIndex(f.index).String()
		if value != "" && !slices.Contains(f.choices, value) {
			p.report.add(prefix+f.key, quote(value)+" is not known here", "write "+alternatives(f.choices))
		}
	}
}

// flaws reports the errors of one call of env. All come from the functions in syntaxes.
// Any other error means that env cannot fill a field of the struct.
func (p *parser) flaws(err error, declared []field, prefix string) {
	all, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		panic("config: " + err.Error())
	}
	for _, one := range all.Errors {
		parse, ok := errors.AsType[env.ParseError](one)
		if !ok {
			panic("config: " + one.Error())
		}
		i := slices.IndexFunc(declared, func(f field) bool { return f.name == parse.Name })
		variable := prefix + declared[i].key
		if declared[i].secret && p.vars[variable+fileSuffix] != "" {
			variable += fileSuffix
		} else if p.vars[variable] == "" {
			p.report.add(variable, "the provider's default "+parse.Err.Error(), "say the URL, and report this as a bug")
			continue
		}
		p.report.flaw(variable, parse.Err)
	}
}

// missing reports that a variable is required.
func (p *parser) missing(variable, hint string) {
	if p.report.blames(variable, variable+fileSuffix) {
		return
	}
	problem := "is required"
	if _, set := p.vars[variable]; set {
		problem = "is required, but empty"
	}
	p.report.add(variable, problem, hint)
}

func (p *parser) notNegative(key string, d time.Duration) {
	if d < 0 {
		p.report.add(Prefix+key, quote(d.String())+" is negative", "write a duration of 0s or more, like 25s")
	}
}

// syntaxes returns the functions that parse the structs' field types other than string.
func syntaxes() map[reflect.Type]env.ParserFunc {
	return map[reflect.Type]env.ParserFunc{
		reflect.TypeFor[bool]():             parseBool,
		reflect.TypeFor[time.Duration]():    parseDuration,
		reflect.TypeFor[url.URL]():          parseURL,
		reflect.TypeFor[Address]():          parseAddress,
		reflect.TypeFor[StatusCode]():       parseStatusCode,
		reflect.TypeFor[fs.FileMode]():      parseMode,
		reflect.TypeFor[State]():            parseState,
		reflect.TypeFor[AuditLog]():         parseAuditLog,
		reflect.TypeFor[agekey.Recipient](): parseRecipient,
	}
}

// fileSuffix ends the name of the variable that holds the path of a secret's file.
const fileSuffix = "_FILE"

// A field is a struct field that a variable fills, as its tags declare it.
type field struct {
	name     string // of the Go field
	key      string // the variable's name without prefix
	fallback string // the default as described to the user
	choices  []string
	account  bool // whether it belongs to the account
	secret   bool // whether it may be given as a file
	state    bool // whether it is STATE, which is a secret only where it is a database's URL
	index    []int
}

// hintWhenMissing returns the hint for a missing variable, "" when it is not required.
func (f field) hintWhenMissing() string {
	if len(f.choices) > 0 {
		return "write " + alternatives(f.choices)
	}
	return needs()[f.key]
}

// variables returns the names of the variables that may fill the field.
func (f field) variables(prefix string) []string {
	if f.secret {
		return []string{prefix + f.key, prefix + f.key + fileSuffix}
	}
	return []string{prefix + f.key}
}

// fields returns the fields of T that variables fill, in order of declaration.
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
			fallback: fallback,
			choices:  strings.Fields(sf.Tag.Get("oneof")),
			account:  sf.Tag.Get("scope") == "account",
			secret:   sf.Type == reflect.TypeFor[secret.String]() || sf.Type == reflect.TypeFor[State](),
			state:    sf.Type == reflect.TypeFor[State](),
			index:    sf.Index,
		})
	}
	return all
}

// names returns the names of all variables of T with a prefix.
func names[T any](prefix string) []string {
	var all []string
	for _, f := range fields[T]() {
		all = append(all, f.variables(prefix)...)
	}
	return all
}

// defaultsOf returns a dialect's defaults for variables, by key. A URL or duration that
// the dialect does not have is "".
func defaultsOf(d dialect.Dialect) map[string]string {
	all := map[string]string{}
	value := reflect.ValueOf(d)
	for _, sf := range reflect.VisibleFields(value.Type()) {
		key := sf.Tag.Get("env")
		if key == "" {
			continue
		}
		all[key] = ""
		if v := value.FieldByIndex(sf.Index); !v.IsZero() {
			all[key] = fmt.Sprint(v.Interface())
		}
	}
	return all
}

// withSettings returns the dialect with its defaults replaced by an upstream's variables.
func withSettings(d dialect.Dialect, u Upstream) dialect.Dialect {
	into, from := reflect.ValueOf(&d).Elem(), reflect.ValueOf(u)
	byKey := map[string]reflect.Value{}
	for _, f := range fields[Upstream]() {
		byKey[f.key] = from.FieldByIndex(f.index)
	}
	for _, sf := range reflect.VisibleFields(into.Type()) {
		value, ok := byKey[sf.Tag.Get("env")]
		if !ok || value.IsZero() {
			continue
		}
		if u, ok := value.Interface().(*url.URL); ok {
			value = reflect.ValueOf(u.String())
		}
		into.FieldByIndex(sf.Index).Set(value.Convert(sf.Type))
	}
	return d
}
