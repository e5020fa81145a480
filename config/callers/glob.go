package callers

import (
	"strings"
	"unicode/utf8"
)

// A Glob matches the paths of requests, as proxy/policy says.
type Glob struct {
	Text string // as it is written
	// Segments are what stands between the slashes, without the final ** of Rest. A * in one
	// stands for any characters, and a * alone for at least one.
	Segments []string
	Rest     bool // any further segments match, also none
}

// All reports whether every path matches.
func (g Glob) All() bool { return g.Rest && len(g.Segments) == 0 }

// Begins reports whether a path that matches can begin with the segments of a base.
func (g Glob) Begins(base string) bool {
	for i, segment := range strings.Split(strings.Trim(base, "/"), "/") {
		if i >= len(g.Segments) {
			return g.Rest
		}
		if !strings.Contains(g.Segments[i], "*") && g.Segments[i] != segment {
			return false
		}
	}
	return true
}

const hintForPath = "write a path as the API sees it, decoded, like /orders, /orders/* for one segment, " +
	"or /events/** for all below and /events itself"

// parseGlob parses an item of paths. It refuses what could never match a path, or would seem
// to match more than it does.
func parseGlob(text string) (Glob, error) {
	g := Glob{Text: text}
	wrong := func(problem string) (Glob, error) { return g, &flaw{quote(text) + problem, hintForPath} }
	if !strings.HasPrefix(text, "/") {
		return wrong(" does not begin with a slash")
	}
	switch {
	case strings.ContainsAny(text, "?#"):
		return wrong(" has a query or a fragment, which rules do not look at")
	case strings.Contains(text, "%"):
		return wrong(" has a percent encoding, but paths are compared decoded")
	case strings.ContainsAny(text, `;\`):
		return wrong(" has a ; or a backslash, and no rule with paths allows such a path")
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return wrong(" has a control character, or is not UTF-8")
	}
	segments := strings.Split(text[1:], "/")
	if last := len(segments) - 1; segments[last] == "**" {
		segments, g.Rest = segments[:last], true
	}
	for i, segment := range segments {
		switch {
		case strings.Contains(segment, "**"):
			return wrong(" has ** elsewhere than as its last segment")
		case segment == "" && (i < len(segments)-1 || g.Rest):
			return wrong(" has an empty segment, and no rule with paths allows such a path")
		case segment != "" && strings.Trim(segment, ". ") == "":
			return wrong(" has a dot segment, and no rule with paths allows such a path")
		}
	}
	g.Segments = segments
	return g, nil
}
