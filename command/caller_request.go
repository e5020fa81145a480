package command

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"ticketproxy/config"
	"ticketproxy/config/callers"
	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/server"
)

// errNoUpstream and the other errors of this file do not quote the URL, which may hold a key.
var errNoUpstream = hint.Usage(errors.New("this URL leads to no upstream"),
	"write a URL of an API, or one at which apps reach it; or a path with --upstream NAME")

// A requestURL is a URL in the parts in which an app sends it.
type requestURL struct {
	scheme    string // lower case; "" for a path alone
	user      string // the user and password, with their colon, percent-encoded
	named     bool   // whether there is a user
	authority string // host and port
	path      string // as it was written
	query     string // begins with ? unless it is ""
}

// askFor returns the request that an app sends for a URL: one of an API, one at which apps reach an
// upstream, or only the path that the API sees. Of an API it also returns the upstream that is
// meant; otherwise the listener finds it. upstream is --upstream.
func askFor(c config.Config, file callers.File, upstream, text string) (server.Ask, string, error) {
	candidates := c.Upstreams
	var known []string
	for _, u := range c.Upstreams {
		known = append(known, u.Name)
	}
	if upstream != "" {
		candidates = slices.DeleteFunc(slices.Clone(candidates), func(u config.Upstream) bool { return u.Name != upstream })
	}
	if len(candidates) == 0 {
		return server.Ask{}, "", hint.Usage(fmt.Errorf("%q is not an upstream", upstream),
			namesOf("upstreams", upstream, known))
	}
	parts, err := splitURL(text)
	if err != nil {
		return server.Ask{}, "", err
	}
	if parts.scheme == "" {
		return byPath(candidates, known, parts)
	}
	ask, meant, err := byAPI(candidates, parts)
	if err == nil && meant == "" {
		ask, err = byListener(c, file, parts)
	}
	if err == nil && parts.named {
		err = addUser(&ask, parts.user)
	}
	return ask, meant, err
}

// splitURL takes a URL apart, and changes nothing of its path and query. Apps do not send its
// fragment.
func splitURL(text string) (requestURL, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return requestURL{}, hint.Usage(errors.New("the URL has a blank or a control character"),
			"write it as an app sends it, percent-encoded")
	}
	text, _, _ = strings.Cut(text, "#")
	text, query, asked := strings.Cut(text, "?")
	if asked {
		query = "?" + query
	}
	scheme, rest, absolute := strings.Cut(text, "://")
	switch isPath := strings.HasPrefix(text, "/"); {
	case isPath && !lacksScheme(text):
		return requestURL{path: text, query: query}, nil
	case isPath || !absolute:
		return requestURL{}, hint.Usage(errors.New("this is neither a URL nor a path"),
			"write https://api.example.com/events, or /events with --upstream NAME")
	}
	authority, path, _ := strings.Cut(rest, "/")
	u := requestURL{scheme: strings.ToLower(scheme), authority: authority, path: "/" + path, query: query}
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		u.user, u.authority, u.named = authority[:at], authority[at+1:], true
	}
	return u, nil
}

// lacksScheme reports whether a path is rather a URL with a user.
func lacksScheme(path string) bool {
	rest, ok := strings.CutPrefix(path, "//")
	authority, _, _ := strings.Cut(rest, "/")
	return ok && strings.Contains(authority, "@")
}

// addUser has the request prove its caller as an app does that is given a URL with a user.
func addUser(ask *server.Ask, userinfo string) error {
	name, key, _ := strings.Cut(userinfo, ":")
	name, err := url.PathUnescape(name)
	key, err2 := url.PathUnescape(key)
	switch {
	case err != nil || err2 != nil:
		return hint.Usage(errors.New("the user or the password in the URL is not percent-encoded"), "write % as %25")
	case strings.Count(key, ".") == 2 || strings.HasPrefix(key, "tpp_"):
		return hint.Usage(errors.New("the password in the URL is a token, which only a running instance can check"),
			"leave it out: --caller says whose it is")
	}
	ask.Basic, ask.User, ask.Key = true, name, secret.New(key)
	return nil
}

// byPath returns the request for a path that the API sees.
func byPath(candidates []config.Upstream, known []string, parts requestURL) (server.Ask, string, error) {
	if len(candidates) > 1 {
		return server.Ask{}, "", hint.Usage(errors.New("a path alone does not tell which upstream is meant"),
			"write --upstream and one of: "+strings.Join(known, ", "))
	}
	u := candidates[0]
	below, ok := under(u.UpstreamURL.EscapedPath(), parts.path)
	if !ok {
		return server.Ask{}, "", hint.Usage(fmt.Errorf("the API of upstream %s sees no such path", u.Name),
			"write the path as the API sees it, which begins with "+u.UpstreamURL.EscapedPath())
	}
	return throughProxy(u, below+parts.query), u.Name, nil
}

// byAPI returns the request for a URL of an API. Of several upstreams it is the one with the
// longest base path. The upstream is "" when the URL is of none.
func byAPI(candidates []config.Upstream, parts requestURL) (ask server.Ask, meant string, err error) {
	longest, same := -1, []string{}
	for _, u := range candidates {
		base := u.UpstreamURL.EscapedPath()
		below, ok := under(base, parts.path)
		if !ok || parts.scheme != u.UpstreamURL.Scheme || !sameHost(parts.authority, u.UpstreamURL.Host, parts.scheme) {
			continue
		}
		if len(base) > longest {
			ask, meant, longest, same = throughProxy(u, below+parts.query), u.Name, len(base), nil
		}
		if len(base) == longest {
			same = append(same, u.Name)
		}
	}
	if len(same) > 1 {
		return ask, "", hint.Usage(errors.New("this URL leads to more than one upstream"),
			"write --upstream and one of: "+strings.Join(same, ", "))
	}
	return ask, meant, nil
}

// throughProxy returns the request by which an app reaches what is below an upstream's base path.
func throughProxy(u config.Upstream, below string) server.Ask {
	host := u.Host
	if host == "" {
		host = "localhost"
	}
	return server.Ask{Listen: u.Listen, Host: host, Target: strings.TrimSuffix(u.Prefix, "/") + below}
}

// byListener returns the request for a URL at which apps reach a listener.
func byListener(c config.Config, file callers.File, parts requestURL) (server.Ask, error) {
	ask := server.Ask{Host: parts.authority, Target: parts.path + parts.query}
	nearest := 0
	consider := func(address config.Address, own string) {
		scheme := "http"
		if server.SpeaksTLS(c, address) {
			scheme = "https"
		}
		if near := nearness(address, parts.authority, parts.scheme); scheme == parts.scheme && near > nearest {
			nearest, ask.Listen, ask.Own = near, address, own
		}
	}
	for _, u := range c.Upstreams {
		consider(u.Listen, "")
	}
	for _, name := range slices.Sorted(maps.Keys(file.Callers)) {
		if own := file.Callers[name].Listen; own != nil {
			consider(config.Address(*own), name)
		}
	}
	if nearest == 0 {
		return server.Ask{}, errNoUpstream
	}
	return ask, nil
}

// nearness says how likely a URL with an authority leads to a listener: 0 is not at all.
func nearness(listen config.Address, authority, scheme string) int {
	at, port, err := net.SplitHostPort(listen.Address)
	host, asked, noPort := net.SplitHostPort(authority)
	if noPort != nil {
		host, asked = strings.Trim(authority, "[]"), map[string]string{"http": "80", "https": "443"}[scheme]
	}
	if listen.Network != "tcp" || err != nil || host == "" || asked != port {
		return 0
	}
	address, err := netip.ParseAddr(host)
	own, _ := netip.ParseAddr(at) // zero for localhost
	switch {
	case err != nil && strings.EqualFold(host, "localhost") && listen.Loopback():
		return 2
	case err != nil, own.IsUnspecified(), !own.IsValid() && address.IsLoopback():
		return 1
	case own == address:
		return 2
	}
	return 0
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
