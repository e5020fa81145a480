package config

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ticketproxy/hint"
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

const hintForName = "write names of lower-case letters, digits and -, beginning with a letter, of at most 40 " +
	"characters, like park,shop"

// drafts returns an upstream for each valid name in UPSTREAMS, or a single one without a
// name, and adds their variables to p.known.
func (p *parser) drafts(listed []string) []*draft {
	const variable = Prefix + "UPSTREAMS"
	if p.vars[variable] == "" {
		p.known = append(p.known, names[Upstream](Prefix)...)
		return []*draft{{Upstream: Upstream{EnvPrefix: Prefix}}}
	}
	var all []*draft
	seen := make(map[string]bool)
	for _, name := range listed {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if seen[name] {
			p.report.add(variable, "names "+quote(name)+" twice", "give each upstream a name of its own")
			continue
		}
		seen[name] = true
		d := &draft{Upstream: Upstream{Name: name, EnvPrefix: prefixFor(name)}}
		own := names[Upstream](d.EnvPrefix)
		if !isName(name) {
			p.report.add(variable, quote(name)+" is not a name for an upstream", hintForName)
		} else if i := slices.IndexFunc(own, p.taken); i >= 0 {
			p.report.add(
				variable,
				"the name "+quote(name)+" would make "+own[i]+" mean two things",
				"choose another name for that upstream",
			)
		} else {
			all = append(all, d)
		}
		// Also for a refused name, so that its variables are not reported as unknown.
		p.known = append(p.known, own...)
	}
	if len(seen) == 0 {
		p.report.add(variable, "names no upstream", hintForName)
	}
	return all
}

// taken reports whether a variable already has a meaning, or is set by Kubernetes for a
// Service called ticketproxy.
func (p *parser) taken(variable string) bool {
	return variable == Prefix+"SERVICE_HOST" ||
		slices.Contains(p.known, variable) ||
		slices.Contains(names[Upstream](Prefix), variable)
}

// prefixFor returns the prefix of the variables of the upstream of that name.
func prefixFor(name string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_"
}

// IsAccountName reports whether an account can have that name.
func IsAccountName(text string) bool { return isName(text) }

func isName(text string) bool {
	return text != "" && len(text) <= 40 && text[0] >= 'a' && text[0] <= 'z' &&
		strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// find returns the draft of that name, or nil.
func find(drafts []*draft, name string) *draft {
	i := slices.IndexFunc(drafts, func(d *draft) bool { return d.Name == name })
	if i < 0 {
		return nil
	}
	return drafts[i]
}

// hintFor suggests the closest word, otherwise all words.
func hintFor(wrong string, words []string) string {
	if near := hint.Nearest(wrong, words); near != "" {
		return "did you mean " + strconv.Quote(near) + "?"
	}
	return "write " + alternatives(words)
}

// unknownVariables reports the variables that have the prefix but are not known.
func (p *parser) unknownVariables(drafts []*draft) {
	bare := names[Upstream](Prefix)
	for _, name := range slices.Sorted(maps.Keys(p.vars)) {
		switch {
		case slices.Contains(p.known, name):
		case slices.Contains(bare, name):
			if p.vars[name] != "" {
				p.report.add(
					name,
					"belongs to no upstream, since TICKETPROXY_UPSTREAMS gives them names",
					p.hintForBare(name, drafts),
				)
			}
		case isServiceLink(name, p.vars[name]):
		default:
			p.report.add(name, "is not a variable of ticketproxy", p.hintForUnknown(name))
		}
	}
}

func (p *parser) hintForBare(name string, drafts []*draft) string {
	var right []string
	for _, d := range drafts {
		right = append(right, d.variable(strings.TrimPrefix(name, Prefix)))
	}
	if len(right) == 0 {
		return "correct TICKETPROXY_UPSTREAMS, or leave it out"
	}
	return "write " + alternatives(right)
}

func (p *parser) hintForUnknown(name string) string {
	key := strings.TrimPrefix(name, Prefix)
	var keys []string
	for _, known := range p.known {
		keys = append(keys, strings.TrimPrefix(known, Prefix))
	}
	if near := hint.Nearest(key, keys); near != "" {
		return "did you mean " + Prefix + near + "?"
	}
	for _, variable := range names[Upstream]("_") {
		owner, ok := strings.CutSuffix(key, variable)
		owner = strings.ToLower(strings.ReplaceAll(owner, "_", "-"))
		if ok && owner != "" && isName(owner) {
			return "if " + quote(owner) + " is an upstream, name it in TICKETPROXY_UPSTREAMS; otherwise remove the variable"
		}
	}
	if base, ok := strings.CutSuffix(name, fileSuffix); ok && slices.Contains(p.known, base) {
		return "set " + base + " itself: only secrets can be given as files"
	}
	return seeHelp
}
