package callers

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ticketproxy/hint"
)

// A Mistake is one error in the file. It shows no key, also where one stands in the wrong
// place.
type Mistake struct {
	Line    int    // counted from 1; 0 when it is about the whole file
	Where   string // like callers.shop.rate; "" when it is about the whole file
	Problem string // what is wrong; continues the text "line 3, callers.shop.rate: "
	Hint    string // what to do about it
}

// Text returns the mistake in one line, without the hint.
func (m Mistake) Text() string {
	place := m.Where
	if m.Line > 0 {
		place = "line " + strconv.Itoa(m.Line)
		if m.Where != "" {
			place += ", " + m.Where
		}
	}
	if place == "" {
		return m.Problem
	}
	return place + ": " + m.Problem
}

// An Error holds the mistakes of a file, by line. There is at least one.
type Error struct{ Mistakes []Mistake }

// Error returns two lines for each mistake: the problem and the hint.
func (e *Error) Error() string {
	var b strings.Builder
	for i, m := range e.Mistakes {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(m.Text() + "\nhint: " + m.Hint)
	}
	return b.String()
}

// A flaw is an error in a value. It does not know where the value stands.
type flaw struct{ problem, hint string }

func (f *flaw) Error() string { return f.problem }

// maxMistakes bounds what is reported of a file that is another kind of file altogether.
const maxMistakes = 50

// A report collects mistakes.
type report struct {
	mistakes []Mistake
	blamed   map[string]bool // where there are mistakes, and what these places are in
}

func (r *report) add(line int, where, problem, hint string) {
	r.mistakes = append(r.mistakes, Mistake{line, where, problem, hint})
	if r.blamed == nil {
		r.blamed = map[string]bool{}
	}
	for place := where; place != "" && !r.blamed[place]; place = place[:max(strings.LastIndexAny(place, ".["), 0)] {
		r.blamed[place] = true
	}
}

// blames reports whether there is a mistake at a place, or below it.
func (r *report) blames(at string) bool { return r.blamed[at] }

// flaw adds an error of a function that parses a value.
func (r *report) flaw(line int, where string, err error) {
	if f, ok := errors.AsType[*flaw](err); ok {
		r.add(line, where, f.problem, f.hint)
	}
}

// err returns the mistakes as an *Error, or nil.
func (r *report) err() error {
	if len(r.mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(r.mistakes, func(a, b Mistake) int { return cmp.Compare(a.Line, b.Line) })
	if more := len(r.mistakes) - maxMistakes; more > 0 {
		r.mistakes = append(r.mistakes[:maxMistakes], Mistake{
			Problem: fmt.Sprintf("there are %d further mistakes", more),
			Hint:    "correct those above first",
		})
	}
	return &Error{r.mistakes}
}

// quote quotes a value of the file. It shows only the beginning of a long value, and nothing
// of one that may be a key.
func quote(value string) string {
	if strings.Contains(value, keyPrefix) {
		return "the value"
	}
	if len(value) > 60 {
		return strconv.QuoteToASCII(strings.ToValidUTF8(value[:20], "")) + "…"
	}
	return strconv.QuoteToASCII(value)
}

// hintFor suggests the closest word, otherwise all words.
func hintFor(wrong string, words []string) string {
	if near := hint.Nearest(wrong, words); near != "" {
		return "did you mean " + near + "?"
	}
	if len(words) > 20 {
		words = append(slices.Clone(words[:20]), "…")
	}
	return "write one of: " + strings.Join(words, ", ")
}
