package config

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// A Mistake is one error in the environment. It holds no secret, and no value that could
// be one.
type Mistake struct {
	Variable string // the full name
	Problem  string // what is wrong; continues the text "Variable: "
	Hint     string // what to do about it
}

// An Error holds all mistakes in the environment, in the order in which the variables are
// declared. Unknown variables come last.
type Error struct{ Mistakes []Mistake }

// Error returns two lines for each mistake: the problem and the hint.
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

// A flaw is an error in a value. It does not know the variable. The functions that parse
// values return no other error.
type flaw struct{ problem, hint string }

func (f *flaw) Error() string { return f.problem }

// A report collects mistakes.
type report struct{ mistakes []Mistake }

func (r *report) add(variable, problem, hint string) {
	r.mistakes = append(r.mistakes, Mistake{printable(variable), problem, hint})
}

// flaw adds an error of a function that parses a value.
func (r *report) flaw(variable string, err error) {
	f, ok := errors.AsType[*flaw](err)
	if !ok {
		f = &flaw{"cannot be understood", seeHelp}
	}
	r.add(variable, f.problem, f.hint)
}

// blames reports whether one of the variables has a mistake. Checks that depend on these
// variables are then skipped.
func (r *report) blames(variables ...string) bool {
	return slices.ContainsFunc(r.mistakes, func(m Mistake) bool {
		return slices.Contains(variables, m.Variable)
	})
}

// err returns the mistakes as an *Error, sorted in the order of known and then by name.
func (r *report) err(known []string) error {
	if len(r.mistakes) == 0 {
		return nil
	}
	position := func(m Mistake) int {
		if i := slices.Index(known, m.Variable); i >= 0 {
			return i
		}
		return len(known)
	}
	slices.SortStableFunc(r.mistakes, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(position(a), position(b)), cmp.Compare(a.Variable, b.Variable))
	})
	return &Error{r.mistakes}
}

const seeHelp = "see ticketproxy help env for every variable"

// quote quotes a value. It shows only the beginning of a long value, and nothing of one
// that may hold the credentials of a URL.
func quote(value string) string {
	if strings.ContainsAny(value, "@?=") {
		return "the value"
	}
	if len(value) > 32 {
		return strconv.QuoteToASCII(strings.ToValidUTF8(value[:8], "")) + "…"
	}
	return strconv.Quote(value)
}

// printable returns name, quoted if it could harm a terminal or a log.
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
