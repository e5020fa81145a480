package config

import (
	"net/url"
	"slices"
	"strings"

	"ticketproxy/secret"
)

// hintForPostgres says how the URL of a database is written.
const hintForPostgres = "write postgres://USER@HOST/DATABASE, and percent-encode special characters of its parts"

// A postgresURL is the URL of a database (postgresql.org, section 34.1.1.2). Each host has a
// port, which may be "".
type postgresURL struct {
	hosts, ports             []string
	user, password, database string
	query                    string     // what stands after the question mark
	values                   url.Values // of it, what else there is
}

// parsePostgres parses the URL of a database. It returns one that says all of host, port,
// user, database and sslmode, so that PGHOST and the like change nothing. Mistakes show
// nothing of the text, which may have a password anywhere.
func parsePostgres(text string) (State, error) {
	u, ok := splitPostgres(text)
	if !ok {
		return State{}, &flaw{"is not a URL of PostgreSQL", hintForPostgres}
	}
	if err := checkParameters(u.query); err != nil {
		return State{}, err
	}
	if err := u.check(); err != nil {
		return State{}, err
	}
	return State{Kind: "postgres", Database: u.shown(), URL: secret.New(u.String())}, nil
}

// splitPostgres takes a URL apart. It reports false for what is none.
func splitPostgres(text string) (u postgresURL, ok bool) {
	_, rest, ok := strings.Cut(text, "://")
	rest, query, _ := strings.Cut(rest, "?")
	authority, database, _ := strings.Cut(rest, "/")
	login := ""
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		login, authority = authority[:at], authority[at+1:]
	}
	user, password, _ := strings.Cut(login, ":")
	if !ok || strings.ContainsAny(text, " #\x00\n\r\t") || strings.ContainsAny(password, "@:") ||
		!areNames(user, authority, database, query) {
		return u, false
	}
	u.query = query
	var err error
	if u.values, err = url.ParseQuery(strings.ReplaceAll(query, "+", "%2B")); err != nil { // a plus is no blank here
		return u, false
	}
	for _, part := range []struct {
		into           *string
		text, override string
	}{
		{&u.user, user, "user"}, {&u.password, password, "password"}, {&u.database, database, "dbname"},
		{&authority, authority, ""},
	} {
		if *part.into, err = url.PathUnescape(part.text); err != nil {
			return u, false
		}
		if u.values.Has(part.override) {
			*part.into = u.values.Get(part.override)
			u.values.Del(part.override)
		}
	}
	u.hosts, u.ports = splitHosts(authority)
	if u.values.Has("host") {
		u.hosts, u.ports = strings.Split(u.values.Get("host"), ","), strings.Split(u.values.Get("port"), ",")
	}
	return u, true
}

// areNames reports whether the parts of a URL that are shown have none of the characters that
// only a misplaced password or parameter brings there. As in the rest of a URL, a name that
// has one is percent-encoded.
func areNames(user, authority, database, query string) bool {
	const special = "&;=@?#"
	if strings.ContainsAny(user+authority+database, special+"/") {
		return false
	}
	for parameter := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(parameter, "=")
		key, _ = url.QueryUnescape(key) // url.ParseQuery tells of mistakes
		switch {
		case key == "host" && strings.ContainsAny(value, special),
			(key == "user" || key == "dbname") && strings.ContainsAny(value, special+"/"):
			return false
		}
	}
	return true
}

// splitHosts parses HOST:PORT,HOST:PORT. An IPv6 address has brackets.
func splitHosts(text string) (hosts, ports []string) {
	for one := range strings.SplitSeq(text, ",") {
		host, port := one, ""
		if i := strings.LastIndex(one, ":"); i > strings.LastIndex(one, "]") {
			host, port = one[:i], one[i+1:]
		}
		hosts, ports = append(hosts, strings.Trim(host, "[]")), append(ports, port)
	}
	return hosts, ports
}

// check fills in the defaults of ports and sslmode, and returns the first mistake. Off
// loopback and Unix sockets, the server must prove who it is.
func (u *postgresURL) check() error {
	local := !slices.ContainsFunc(u.hosts, func(host string) bool {
		return !strings.HasPrefix(host, "/") && !isLoopback(host)
	})
	mode := u.values.Get("sslmode")
	switch {
	case slices.Contains(u.hosts, ""):
		return &flaw{
			"does not say where the server is",
			hintForPostgres + "; for a Unix socket: postgres://USER@/DATABASE?host=/run/postgresql",
		}
	case u.user == "" || u.database == "":
		return &flaw{"does not say which user and which database", hintForPostgres}
	case mode == "" && local:
		u.values.Set("sslmode", "prefer")
	case mode == "":
		u.values.Set("sslmode", "verify-full")
	case !local && mode != "verify-full":
		return &flaw{
			"has an sslmode that does not prove who the server is",
			"write sslmode=verify-full, with sslrootcert=FILE if the server's certificate is not of a public authority",
		}
	}
	if len(u.ports) > 1 && len(u.ports) != len(u.hosts) {
		return &flaw{"does not have one port, or one for each host", hintForPostgres}
	}
	for i, port := range u.ports {
		if port == "" {
			u.ports[i] = "5432"
		} else if !isPort(port, 1) {
			return &flaw{"has a port that is no number from 1 to 65535", hintForPostgres}
		}
	}
	return nil
}

// String returns the URL with its password, in the form in which nothing is left out.
func (u *postgresURL) String() string {
	u.values.Set("host", strings.Join(u.hosts, ","))
	u.values.Set("port", strings.Join(u.ports, ","))
	u.values.Set("user", u.user)
	if u.password != "" {
		u.values.Set("password", u.password)
	}
	return "postgres:///" + escape(u.database) + "?" + strings.ReplaceAll(u.values.Encode(), "+", "%20")
}

// shown returns the URL for people. It has neither a password nor parameters, and leaves out
// the port 5432. The directory of a Unix socket stands where a URL can have it.
func (u *postgresURL) shown() string {
	ports := u.ports
	for len(ports) < len(u.hosts) {
		ports = append(ports[:len(ports):len(ports)], u.ports[0])
	}
	elsewhere := slices.ContainsFunc(ports, func(port string) bool { return port != "5432" })
	before, after := "postgres://"+escape(u.user)+"@", "/"+escape(u.database)
	if slices.ContainsFunc(u.hosts, func(host string) bool { return strings.HasPrefix(host, "/") }) {
		query := "?host=" + strings.NewReplacer("%2F", "/", "%2C", ",").Replace(escape(strings.Join(u.hosts, ",")))
		if elsewhere {
			query += "&port=" + strings.Join(ports, ",")
		}
		return before + after + query
	}
	var places []string
	for i, host := range u.hosts {
		if strings.Contains(host, ":") { // an IPv6 address, perhaps with a zone
			host = "[" + strings.ReplaceAll(host, "%", "%25") + "]"
		}
		if ports[i] != "5432" {
			host += ":" + ports[i]
		}
		places = append(places, host)
	}
	return before + strings.Join(places, ",") + after
}

// escape percent-encodes all but letters, digits, and four others (RFC 3986, section 2.3).
func escape(name string) string { return strings.ReplaceAll(url.QueryEscape(name), "+", "%20") }
