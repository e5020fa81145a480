package config

import (
	"io"
	"strings"
)

// A Variable is what a user is told of a variable.
type Variable struct {
	Name        string // in full
	File        string // the variable that may name a file instead, of a secret; else ""
	Meaning     string
	Default     string // in words where there is no single value; "required" if none
	PerUpstream bool   // Name is that of an only upstream
}

// Variables returns every variable: those of an upstream, then those of the
// whole program.
func Variables() []Variable {
	var all []Variable
	add := func(declared []field, perUpstream bool) {
		for _, f := range declared {
			v := Variable{Name: Prefix + f.key, Meaning: f.meaning, Default: f.fallback, PerUpstream: perUpstream}
			if f.secret {
				v.File = v.Name + fileSuffix
			}
			all = append(all, v)
		}
	}
	add(fields[Upstream](), true)
	add(fields[settings](), false)
	return all
}

// Help writes every variable, its meaning and its default, for a terminal.
func Help(w io.Writer) error {
	var b strings.Builder
	b.WriteString("An upstream (one of several: " + Prefix + "PARK_PROVIDER, if " + Prefix + "UPSTREAMS names park):\n")
	perUpstream := true
	for _, v := range Variables() {
		if v.PerUpstream != perUpstream {
			perUpstream = v.PerUpstream
			b.WriteString("\nThe whole program:\n")
		}
		b.WriteString("\n  " + v.Name)
		if v.File != "" {
			b.WriteString(", or " + v.File)
		}
		b.WriteString("\n      " + v.Meaning + "\n      default: " + v.Default + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Markdown returns the same as two tables, an upstream's and the program's.
func Markdown() string {
	const head = "| variable | meaning | default |\n| --- | --- | --- |\n"
	var b strings.Builder
	b.WriteString(head)
	perUpstream := true
	for _, v := range Variables() {
		if v.PerUpstream != perUpstream {
			perUpstream = v.PerUpstream
			b.WriteString("\n" + head)
		}
		name := "`" + v.Name + "`"
		if v.File != "" {
			name += ", or `" + v.File + "`"
		}
		b.WriteString("| " + name + " | " + v.Meaning + " | " + v.Default + " |\n")
	}
	return b.String()
}
