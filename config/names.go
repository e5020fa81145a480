package config

import (
	"slices"
	"strconv"
	"strings"
)

// A draft is an upstream while its mistakes are looked for.
type draft struct {
	Upstream
	prefix string // of its variables
}

func (d *draft) variable(key string) string { return d.prefix + key }

const cureForName = "write names of lower-case letters, digits and -, beginning with a letter, of at most 40 characters, like park,shop"

// drafts returns an upstream for each good name in UPSTREAMS, or a single one
// that has no name yet, and makes their variables known.
func (p *parser) drafts(said []string) []*draft {
	const variable = Prefix + "UPSTREAMS"
	if p.vars[variable] == "" {
		p.known = append(p.known, names[Upstream](Prefix)...)
		return []*draft{{prefix: Prefix}}
	}
	var all []*draft
	seen := make(map[string]bool)
	for _, name := range said {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if seen[name] {
			p.report.add(variable, "names "+quote(name)+" twice", "give each upstream a name of its own")
			continue
		}
		seen[name] = true
		d := &draft{Upstream: Upstream{Name: name}, prefix: prefixFor(name)}
		mine := names[Upstream](d.prefix)
		if !isName(name) {
			p.report.add(variable, quote(name)+" is not a name for an upstream", cureForName)
		} else if i := slices.IndexFunc(mine, p.taken); i >= 0 {
			p.report.add(variable, "the name "+quote(name)+" would make "+mine[i]+" mean two things", "choose another name for that upstream")
		} else {
			all = append(all, d)
		}
		// Even of a refused name: its variables are not to be mistakes too.
		p.known = append(p.known, mine...)
	}
	if len(seen) == 0 {
		p.report.add(variable, "names no upstream", cureForName)
	}
	return all
}

// taken reports whether a variable has a meaning already, be it that
// Kubernetes sets it for a Service called ticketproxy.
func (p *parser) taken(variable string) bool {
	return variable == Prefix+"SERVICE_HOST" ||
		slices.Contains(p.known, variable) ||
		slices.Contains(names[Upstream](Prefix), variable)
}

// prefixFor returns the prefix of the variables of the upstream of that name.
func prefixFor(name string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_"
}

func isName(text string) bool {
	return len(text) <= 40 && text[0] >= 'a' && text[0] <= 'z' &&
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

// cureFor suggests the word that was probably meant.
func cureFor(wrong string, words []string) string {
	if near := nearest(wrong, words); near != "" {
		return "did you mean " + strconv.Quote(near) + "?"
	}
	return "write " + alternatives(words)
}
