package config

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// A Mistake is one thing that is wrong with the environment. It holds no
// secret, and no value that could hold one.
type Mistake struct {
	Variable string // its full name
	Problem  string // what is wrong; reads on from "Variable: "
	Hint     string // what to do about it
}

// An Error is all that is wrong with the environment, in the order in which
// the variables are declared; variables that do not exist come last.
type Error struct{ Mistakes []Mistake }

// Error gives each mistake a line, and its hint another one below.
func (e *Error) Error() string {
	var b strings.Builder
	for i, m := range e.Mistakes {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(m.Variable + ": " + m.Problem + "\nhint: " + m.Hint)
	}
	return b.String()
}

// A flaw is what is wrong with a value, whichever variable holds it. It is the
// only error that parsers return.
type flaw struct{ problem, hint string }

func (f *flaw) Error() string { return f.problem }

// A report gathers mistakes.
type report struct{ mistakes []Mistake }

func (r *report) add(variable, problem, hint string) {
	r.mistakes = append(r.mistakes, Mistake{printable(variable), problem, hint})
}

// flaw adds what a parser returned.
func (r *report) flaw(variable string, err error) {
	f, ok := errors.AsType[*flaw](err)
	if !ok {
		f = &flaw{"cannot be understood", seeHelp}
	}
	r.add(variable, f.problem, f.hint)
}

// blames reports whether a mistake was found in one of the variables, so that
// rules which build on them must be silent.
func (r *report) blames(variables ...string) bool {
	return slices.ContainsFunc(r.mistakes, func(m Mistake) bool {
		return slices.Contains(variables, m.Variable)
	})
}

// err returns the mistakes as an *Error, sorted as known is and then by name.
func (r *report) err(known []string) error {
	if len(r.mistakes) == 0 {
		return nil
	}
	place := func(m Mistake) int {
		if i := slices.Index(known, m.Variable); i >= 0 {
			return i
		}
		return len(known)
	}
	slices.SortStableFunc(r.mistakes, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.Variable, b.Variable))
	})
	return &Error{r.mistakes}
}

const seeHelp = "see ticketproxy help env for every variable"

// quote shows a value, but only the beginning of a long one, and nothing of
// one that has the marks of credentials in a URL.
func quote(value string) string {
	if strings.ContainsAny(value, "@?=") {
		return "the value"
	}
	if len(value) > 32 {
		return strconv.QuoteToASCII(strings.ToValidUTF8(value[:8], "")) + "…"
	}
	return strconv.Quote(value)
}

// printable is name itself, unless printing it could harm a terminal or a log.
func printable(name string) string {
	if quoted := strconv.QuoteToASCII(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// alternatives joins words as in "a, b or c".
func alternatives(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
