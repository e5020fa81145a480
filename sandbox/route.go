package sandbox

import (
	"slices"
	"strings"
)

// A route is a method and a path. Paths are compared segment by segment, with their case
// and their trailing slash: http.ServeMux would clean them, and the vendors do not. {name}
// matches one segment that is not empty.
type route struct {
	method, pattern string
	serve           func(request) answer
	open            bool // needs no bearer token
}

// match finds the route of a request and sets its path values. When only the
// method is wrong it returns the methods that are allowed.
func match(routes []route, r request) (found *route, allow string) {
	path := strings.Split(r.URL.Path, "/")
	var methods []string
	for i, rt := range routes {
		values, ok := matchPath(strings.Split(rt.pattern, "/"), path)
		if !ok {
			continue
		}
		if rt.method != r.Method {
			methods = append(methods, rt.method)
			continue
		}
		for name, value := range values {
			r.SetPathValue(name, value)
		}
		return &routes[i], ""
	}
	slices.Sort(methods)
	return nil, strings.Join(slices.Compact(methods), ", ")
}

func matchPath(pattern, path []string) (map[string]string, bool) {
	if len(pattern) != len(path) {
		return nil, false
	}
	values := map[string]string{}
	for i, want := range pattern {
		name, isVariable := strings.CutPrefix(want, "{")
		switch {
		case isVariable && path[i] != "":
			values[strings.TrimSuffix(name, "}")] = path[i]
		case want != path[i]:
			return nil, false
		}
	}
	return values, true
}
