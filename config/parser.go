package config

import (
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// A parser reads one environment and gathers the mistakes in it.
type parser struct {
	vars     map[string]string // those with our prefix
	readFile func(string) ([]byte, error)
	known    []string // the variables that this environment may have, in order
	report   report

	secretFiles []SecretFile // that were read
}

func newParser(environment Environment) *parser {
	p := &parser{
		vars:     make(map[string]string),
		readFile: environment.ReadFile,
		known:    names[settings](Prefix),
	}
	if p.readFile == nil {
		p.readFile = readFile
	}
	for _, line := range environment.Vars {
		if name, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, Prefix) {
			p.vars[name] = value
		}
	}
	return p
}

// fileLimit bounds a secret's file and a bundle of certificates.
const fileLimit = 4 << 20

// readFile is os.ReadFile, but for files without an end.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, fileLimit+1))
	if err == nil && len(data) > fileLimit {
		err = errors.New("file is too large")
	}
	return data, err
}

// fill sets target, a pointer to a struct, from the variables under a prefix.
func (p *parser) fill(target any, prefix string) {
	into := reflect.ValueOf(target).Elem()
	declared := fieldsOf(into.Type())
	// Never nil: env would read the process's own environment.
	said := make(map[string]string, len(declared))
	for _, f := range declared {
		if f.secret {
			said[prefix+f.key] = p.secret(prefix + f.key)
		} else {
			said[prefix+f.key] = p.vars[prefix+f.key]
		}
	}
	err := env.ParseWithOptions(target, env.Options{Environment: said, Prefix: prefix, FuncMap: syntaxes()})
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

// flaws reports the errors of one run of env. All are errors of our syntaxes;
// any other would mean that a struct has a field which env cannot fill.
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
		p.report.flaw(prefix+declared[i].key, parse.Err)
	}
}

// missing reports that a variable is required.
func (p *parser) missing(variable, cure string) {
	if p.report.blames(variable, variable+fileSuffix) {
		return
	}
	problem := "is required"
	if _, set := p.vars[variable]; set {
		problem = "is required, but empty"
	}
	p.report.add(variable, problem, cure)
}

func (p *parser) notNegative(key string, d time.Duration) {
	if d < 0 {
		p.report.add(Prefix+key, quote(d.String())+" is negative", "write a duration of 0s or more, like 25s")
	}
}

// syntaxes returns the parsers of the types that the structs' fields have,
// besides texts.
func syntaxes() map[reflect.Type]env.ParserFunc {
	return map[reflect.Type]env.ParserFunc{
		reflect.TypeFor[bool]():          parseBool,
		reflect.TypeFor[time.Duration](): parseDuration,
		reflect.TypeFor[url.URL]():       parseURL,
		reflect.TypeFor[Address]():       parseAddress,
		reflect.TypeFor[fs.FileMode]():   parseMode,
		reflect.TypeFor[State]():         parseState,
	}
}

func parseBool(text string) (any, error) {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return nil, &flaw{quote(text) + " is neither true nor false", "write true or false"}
	}
	return b, nil
}

func parseDuration(text string) (any, error) {
	d, err := time.ParseDuration(text)
	if err == nil {
		return d, nil
	}
	cure := "write a number and a unit, like 500ms, 60s or 2m"
	if _, err := strconv.ParseUint(text, 10, 32); err == nil {
		cure = "write a unit, like " + text + "s"
	}
	return nil, &flaw{quote(text) + " is not a duration", cure}
}
