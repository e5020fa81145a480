package command

import (
	"errors"
	"fmt"
	"maps"
	"slices"
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
	if len(args) > 2 && slices.ContainsFunc(args, func(s string) bool { return strings.HasPrefix(s, "-") }) {
		return hint.Usage(errors.New("a flag stands after the method"),
			"flags come first: ticketproxy check --caller NAME --upstream NAME GET /events")
	}
	if len(args) != 2 {
		return hint.Usage(errors.New("check --caller needs a method and a URL"),
			"ticketproxy check --caller NAME GET https://api.example.com/events")
	}
	if strings.Trim(args[0], methodCharacters) != "" || args[0] == "" {
		return hint.Usage(errors.New("this is not a method"), "write it like GET: check --caller NAME METHOD URL")
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
	if known := policy.New(file, nil).Callers(); !slices.Contains(known, caller) {
		return hint.Usage(fmt.Errorf("%q is not a caller of TICKETPROXY_CALLERS_FILE", caller),
			namesOf("callers", caller, known))
	}
	ask, meant, err := askFor(c, file, upstream, args[1])
	if err != nil {
		return err
	}
	ask.Caller, ask.Method = caller, args[0]
	if ask.Own != "" && ask.Own != caller {
		return hint.Usage(fmt.Errorf("this URL is of the listener of caller %s, who every request there comes from", ask.Own),
			"write --caller "+ask.Own)
	}
	v, err := server.Judge(c, file, ask)
	if err != nil {
		return err
	}
	if err := mistaken(v, caller, meant, upstream); err != nil {
		return err
	}
	printFinding(env.Stdout, verdictFinding(v))
	if v.Code != "" {
		return errReported
	}
	printBounds(env, file, caller, v.Account)
	return nil
}

// mistaken says that a verdict is of another request than the one that was meant: by its URL,
// where that is of an API, or by --upstream.
func mistaken(v server.Verdict, caller, meant, upstream string) error {
	switch {
	case v.Code == "no_such_upstream":
		return errNoUpstream
	case v.Caller != "" && v.Caller != caller:
		return hint.Usage(fmt.Errorf("the key in the URL is that of caller %s", v.Caller), "write --caller "+v.Caller)
	case v.Upstream != "" && meant != "" && v.Upstream != meant:
		return hint.Usage(fmt.Errorf("apps cannot reach this path of upstream %s: at its listener it leads to upstream %s",
			meant, v.Upstream), "compare HOST and PREFIX of the two")
	case v.Upstream != "" && upstream != "" && v.Upstream != upstream:
		return hint.Usage(fmt.Errorf("this URL leads to upstream %s", v.Upstream),
			"write --upstream "+v.Upstream+", or leave it out")
	}
	return nil
}

// verdictFinding says what becomes of a request, and why.
func verdictFinding(v server.Verdict) server.Finding {
	switch {
	case v.Code == "forbidden" && v.Decision.Outcome != "":
		help := "if it should be allowed, add a rule to this caller's may in the file of TICKETPROXY_CALLERS_FILE"
		if v.Decision.Outcome == policy.OddPath {
			help = "send a path that every server reads in one way; or give the caller a rule without paths"
		}
		return server.Finding{Subject: "denied", Err: errors.New(v.Detail), Hint: help}
	case v.Code != "":
		return server.Finding{Subject: "denied", Err: errors.New(v.Code + ": " + v.Detail), Hint: hintForCode(v.Code)}
	case v.Stub:
		return server.Finding{
			Subject: "allowed",
			Text: "the stub token endpoint of upstream " + v.Upstream + " answers it, whatever the rules say: " +
				"every caller gets a placeholder, and the API gets nothing",
		}
	case v.Decision.Outcome == policy.Warned:
		return server.Finding{Subject: "allowed", Warning: v.Decision.Why()}
	}
	return server.Finding{Subject: "allowed", Text: v.Decision.Why()}
}

// hintForCode says what to do about a request that is refused whatever the rules say.
func hintForCode(code string) string {
	switch code {
	case "bad_path":
		return "resolve dot segments before the request is sent: no rule lets them through to an upstream with a base path " +
			"or a prefix"
	case "host_not_allowed":
		return "if apps call the listener by this name, add it to TICKETPROXY_ALLOWED_HOSTS"
	case "method_not_allowed":
		return "use another method"
	case "unauthenticated":
		return "write the caller's name and its key; ticketproxy key NAME makes a new one"
	}
	return "write the URL as an app sends it, percent-encoded"
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
		Text: count(len(file.Callers), "caller") + ", " + count(len(file.Issuers), "issuer") +
			", limits of " + count(len(file.Limits), "account"),
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
