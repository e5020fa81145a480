package command

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"ticketproxy/config"
	"ticketproxy/config/callers"
	"ticketproxy/hint"
	"ticketproxy/proxy/policy"
	"ticketproxy/server"
)

// methodCharacters are those of the methods that are in use (RFC 9110, section 9.1).
const methodCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"

// checkCaller says what would happen to a request of a caller: args are its method and its URL,
// and upstream names the upstream of a URL that is a path. It sends nothing.
func checkCaller(env *Env, caller, upstream string, args []string) error {
	if len(args) != 2 {
		return hint.Usage(errors.New("check --caller needs a method and a URL"),
			"ticketproxy check --caller NAME GET https://api.example.com/events")
	}
	if strings.Trim(args[0], methodCharacters) != "" || args[0] == "" {
		return hint.Usage(fmt.Errorf("%q is not a method", args[0]), "write it like GET")
	}
	c, err := env.configure()
	if err != nil {
		return err
	}
	if c.CallersFile == "" {
		return hint.Usage(errors.New("there are no callers, since TICKETPROXY_CALLERS_FILE is not set"),
			"set it to the file that names them")
	}
	file, err := c.ReadCallers()
	if err != nil {
		return err
	}
	p := policy.New(file, nil)
	if known := p.Callers(); !slices.Contains(known, caller) {
		return hint.Usage(fmt.Errorf("%q is not a caller of TICKETPROXY_CALLERS_FILE", caller),
			namesOf("callers", caller, known))
	}
	u, path, err := requestTarget(c, upstream, args[1])
	if err != nil {
		return err
	}
	if args[0] == http.MethodConnect || args[0] == http.MethodTrace {
		printFinding(env.Stdout, server.Finding{
			Subject: "denied",
			Err:     errors.New("CONNECT and TRACE are never passed on, whatever the rules say"),
			Hint:    "use another method",
		})
		return errReported
	}
	d := p.Decide(caller, policy.Request{Upstream: u.Name, Method: args[0], Path: path})
	printDecision(env, d)
	if !d.Allowed() {
		return errReported
	}
	printBounds(env, file, caller, u.Account)
	return nil
}

// printDecision prints what a decision is, and why.
func printDecision(env *Env, d policy.Decision) {
	f := server.Finding{Subject: "allowed", Text: d.Why()}
	switch d.Outcome {
	case policy.Allowed:
	case policy.Warned:
		f = server.Finding{Subject: "allowed", Warning: d.Why()}
	case policy.OddPath:
		f = server.Finding{
			Subject: "denied",
			Err:     errors.New(d.Why()),
			Hint:    "send a path that every server reads in one way; or give the caller a rule without paths",
		}
	default:
		f = server.Finding{
			Subject: "denied",
			Err:     errors.New(d.Why()),
			Hint:    "if it should be allowed, add a rule to this caller's may in the file of TICKETPROXY_CALLERS_FILE",
		}
	}
	printFinding(env.Stdout, f)
}

// printBounds prints the rate of the caller and the limits of the account.
func printBounds(env *Env, file callers.File, caller, account string) {
	note := func(format string, args ...any) {
		printFinding(env.Stdout, server.Finding{Subject: "limits", Note: fmt.Sprintf(format, args...)})
	}
	if r := file.Callers[caller].Rate; !r.IsZero() {
		note("caller %s may send each replica %s", caller, r)
	}
	l := file.Limits[account]
	if !l.Rate.IsZero() {
		note("all callers together may have each replica send account %s %s", account, l.Rate)
	}
	if l.Concurrent > 0 {
		note("account %s may have %d requests in flight at each replica", account, l.Concurrent)
	}
	if l.Heed {
		note("requests to account %s wait as long as its API asks by Retry-After", account)
	}
}

// checkCallers prints what is in CALLERS_FILE. configure has reported its mistakes.
func checkCallers(env *Env, c config.Config) error {
	if c.CallersFile == "" {
		return nil
	}
	file, err := c.ReadCallers()
	if err != nil {
		return err
	}
	printFinding(env.Stdout, server.Finding{
		Subject: "callers",
		Text: fmt.Sprintf("%d callers, %d issuers, limits of %d accounts",
			len(file.Callers), len(file.Issuers), len(file.Limits)),
	})
	for _, name := range slices.Sorted(maps.Keys(file.Callers)) {
		for _, rule := range file.Callers[name].May {
			for _, warning := range ruleWarnings(c, rule) {
				printFinding(env.Stdout, server.Finding{
					Subject: "caller " + name,
					Warning: fmt.Sprintf("its rule in line %d %s", rule.Line, warning),
				})
			}
		}
	}
	return nil
}

// ruleWarnings returns what may be wrong about a rule: paths that can match nothing, since all
// paths of the upstream's API begin with another one.
func ruleWarnings(c config.Config, rule callers.Rule) (all []string) {
	i := slices.IndexFunc(c.Upstreams, func(u config.Upstream) bool { return u.Name == rule.Upstream })
	if i < 0 {
		return nil
	}
	base := c.Upstreams[i].UpstreamURL.Path
	for _, g := range rule.Paths {
		if base != "" && !g.Begins(base) {
			all = append(all, fmt.Sprintf("has the path %s, but all paths that the API of %s sees begin with %s",
				g.Text, rule.Upstream, base))
		}
	}
	return all
}

// namesOf suggests a name.
func namesOf(what, wrong string, known []string) string {
	if near := hint.Nearest(wrong, known); near != "" {
		return "did you mean " + near + "?"
	}
	if len(known) == 0 {
		return "there are no " + what
	}
	return "its " + what + " are " + strings.Join(known[:min(len(known), 20)], ", ")
}

// requestTarget returns the upstream and the path that the API sees for a URL: one of an API, one
// at which apps reach an upstream, or only the path that the API sees.
func requestTarget(c config.Config, name, rawURL string) (config.Upstream, string, error) {
	candidates := c.Upstreams
	if name != "" {
		candidates = slices.DeleteFunc(slices.Clone(candidates), func(u config.Upstream) bool { return u.Name != name })
	}
	var known []string
	for _, u := range c.Upstreams {
		known = append(known, u.Name)
	}
	scheme, rest, absolute := strings.Cut(rawURL, "://")
	switch {
	case len(candidates) == 0:
		return config.Upstream{}, "", hint.Usage(fmt.Errorf("%q is not an upstream", name),
			namesOf("upstreams", name, known))
	case absolute:
		return byURL(candidates, scheme, rest)
	case !strings.HasPrefix(rawURL, "/"):
		return config.Upstream{}, "", hint.Usage(fmt.Errorf("%q is neither a URL nor a path", rawURL),
			"write https://api.example.com/events, or /events with --upstream NAME")
	case len(candidates) > 1:
		return config.Upstream{}, "", hint.Usage(errors.New("a path alone does not tell which upstream is meant"),
			"write --upstream and one of: "+strings.Join(known, ", "))
	}
	u := candidates[0]
	path := pathOf(rawURL)
	if _, ok := under(u.UpstreamURL.EscapedPath(), path); !ok {
		return config.Upstream{}, "", hint.Usage(fmt.Errorf("the API of upstream %s sees no such path", u.Name),
			"write the path as the API sees it, which begins with "+u.UpstreamURL.EscapedPath())
	}
	return u, path, nil
}

// byURL finds the upstream with the longest path of those that a URL leads to.
func byURL(candidates []config.Upstream, scheme, rest string) (found config.Upstream, path string, err error) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, sent := rest[:end], pathOf(rest[end:])
	longest, same := -1, []string{}
	add := func(u config.Upstream, length int, seen string) {
		if length > longest {
			found, path, longest, same = u, seen, length, nil
		}
		if length == longest {
			same = append(same, u.Name)
		}
	}
	for _, u := range candidates {
		base := u.UpstreamURL.EscapedPath()
		_, ok := under(base, sent)
		if ok && scheme == u.UpstreamURL.Scheme && sameHost(authority, u.UpstreamURL.Host, scheme) {
			add(u, len(base), sent)
		}
		prefix := strings.TrimSuffix(u.Prefix, "/")
		if below, ok := under(prefix, sent); ok && scheme == "http" && listensAt(u, authority) {
			add(u, len(prefix)+len(u.Host)*1000, base+below) // a Host outweighs any prefix
		}
	}
	switch {
	case len(same) == 0:
		return found, "", hint.Usage(errors.New("this URL leads to no upstream"),
			"write a URL of an API, or one at which apps reach it; or a path with --upstream NAME")
	case len(same) > 1:
		return found, "", hint.Usage(errors.New("this URL leads to more than one upstream"),
			"write --upstream and one of: "+strings.Join(same, ", "))
	}
	return found, path, nil
}

// pathOf cuts off a query and a fragment.
func pathOf(text string) string {
	if end := strings.IndexAny(text, "?#"); end >= 0 {
		text = text[:end]
	}
	if text == "" {
		return "/"
	}
	return text
}

// under returns the path below a base, which has no slash at its end.
func under(base, path string) (below string, ok bool) {
	below, ok = strings.CutPrefix(path, base)
	if below == "" && ok {
		return "/", true
	}
	return below, ok && below[0] == '/'
}

// sameHost compares two hosts with optional ports.
func sameHost(a, b, scheme string) bool {
	port := map[string]string{"http": ":80", "https": ":443"}[scheme]
	return strings.EqualFold(strings.TrimSuffix(a, port), strings.TrimSuffix(b, port))
}

// listensAt reports whether an app reaches an upstream by a URL with that authority.
func listensAt(u config.Upstream, authority string) bool {
	if u.Listen.Network != "tcp" {
		return false
	}
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		host, port = authority, "80"
	}
	if u.Host != "" && !strings.EqualFold(host, strings.Trim(u.Host, "[]")) {
		return false
	}
	_, listening, _ := net.SplitHostPort(u.Listen.Address)
	_, wrong := strconv.Atoi(port)
	return wrong == nil && port == listening
}
