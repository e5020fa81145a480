package config

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// parseURL parses the URL of an upstream or an issuer: absolute, https (or http to a
// loopback host), and without credentials and fragment. Mistakes never show more of it
// than its host.
func parseURL(text string) (any, error) {
	const hint = "write it like https://api.example.com"
	u, err := url.Parse(text)
	if err != nil {
		return nil, &flaw{"is not a URL", hint}
	}
	if u.User != nil {
		return nil, &flaw{
			"must not hold credentials",
			"remove what stands before the @; credentials have variables of their own",
		}
	}
	host, port, ok := splitHost(u.Host)
	switch {
	case !ok || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, &flaw{"is not an absolute https URL", hint}
	case u.Scheme == "http" && !isLoopback(host):
		return nil, &flaw{
			"uses http to " + quote(host) + ", but tokens may go unencrypted to loopback hosts only",
			"write https://",
		}
	case strings.Contains(text, "#"):
		return nil, &flaw{"must not have a fragment", "remove the # and all that follows it"}
	}
	u.Host = host
	if port != "" {
		u.Host += ":" + port
	}
	return *u, nil
}

// basePath checks that paths and queries can be appended to UPSTREAM_URL, and removes its
// trailing slash.
func (p *parser) basePath(d *draft) {
	u, variable := d.UpstreamURL, d.variable("UPSTREAM_URL")
	if u == nil {
		return
	}
	if u.RawQuery != "" || u.ForceQuery {
		p.report.add(variable, "must not have a query", "remove the ? and all that follows it")
		return
	}
	if u.Path == "" {
		return
	}
	path, err := parsePath(u.EscapedPath())
	if err != nil {
		p.report.add(variable, "its path "+err.Error(), "write it like https://api.example.com/v2")
		return
	}
	u.Path, u.RawPath = strings.TrimSuffix(path, "/"), ""
}

// splitHost parses host or host:port in the syntax of URLs and Host headers: a name in
// ASCII, an IPv4 address, or an IPv6 address in brackets. It returns the host in lower
// case, with its brackets, and the port, "" when not given.
func splitHost(text string) (host, port string, ok bool) {
	host, port, given := strings.Cut(text, ":")
	if strings.HasPrefix(text, "[") {
		end := strings.IndexByte(text, ']') + 1
		host = text[:end]
		port, given = strings.CutPrefix(text[end:], ":")
		if !given && port != "" {
			return "", "", false
		}
	}
	if given && !isPort(port, 1) || !isHost(host) {
		return "", "", false
	}
	return strings.ToLower(host), port, true
}

func isPort(text string, least uint64) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n >= least
}

func isHost(text string) bool {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		address, err := netip.ParseAddr(inner)
		return ok && err == nil && address.Is6() && address.Zone() == ""
	}
	if address, err := netip.ParseAddr(text); err == nil {
		return address.Is4()
	}
	if len(text) > 253 {
		return false
	}
	label := ""
	for label = range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, hostCharacters) != "" ||
			strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
	}
	// A name that ends in a number is an invalid IPv4 address.
	return strings.Trim(label, "0123456789") != ""
}

const (
	letters        = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits         = "0123456789"
	hostCharacters = letters + digits + "-_"
	// pathCharacters are RFC 3986's pchar, without percent-encoding.
	pathCharacters = letters + digits + "-._~!$&'()*+,;=:@"
)

// isLoopback reports whether a host, with or without brackets, is always on loopback (RFC
// 6761, section 6.3).
func isLoopback(host string) bool {
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// parseHost parses HOST.
func parseHost(text string) (string, error) {
	host, port, ok := splitHost(text)
	switch {
	case !ok:
		return "", &flaw{quote(text) + " is not a host name", "write the name alone, like shop.localhost"}
	case port != "":
		return "", &flaw{quote(text) + " has a port, but any port matches", "write the name alone: " + host}
	}
	return host, nil
}

// parseAllowedHost parses an item of ALLOWED_HOSTS.
func parseAllowedHost(text string) (string, error) {
	if _, _, ok := splitHost(text); !ok {
		return "", &flaw{
			quote(text) + " is not a host name",
			"write names with an optional port, like tickets.internal or tickets.internal:8080",
		}
	}
	return strings.ToLower(text), nil
}

// parseOrigin parses an item of ALLOWED_ORIGINS into the form that browsers send (RFC 6454,
// section 6.2): lower case, without a default port.
func parseOrigin(text string) (string, error) {
	scheme, rest, ok := strings.Cut(strings.ToLower(text), "://")
	host, port, valid := splitHost(rest)
	if !ok || !valid || !isScheme(scheme) {
		return "", &flaw{
			quote(text) + " is not a web origin",
			"write scheme, host and perhaps port, like https://app.example.com: no path, no *, no null",
		}
	}
	origin := scheme + "://" + host
	if port == "" || scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return origin, nil
	}
	return origin + ":" + port, nil
}

func isScheme(text string) bool {
	return text != "" && text[0] >= 'a' && text[0] <= 'z' && strings.Trim(text, letters+digits+"+-.") == ""
}

// parsePath parses a path to which others are appended: PREFIX, or the base of
// UPSTREAM_URL. It removes a trailing slash, except that of "/".
func parsePath(text string) (string, error) {
	const hint = "write it like /park or /api/v2"
	if !strings.HasPrefix(text, "/") {
		return "", &flaw{quote(text) + " does not begin with a slash", hint}
	}
	path := strings.TrimSuffix(text, "/")
	if path == "" {
		return "/", nil
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		switch {
		case segment == "" || segment == "." || segment == "..":
			return "", &flaw{quote(text) + " has an empty or a dot segment", hint}
		case strings.ContainsFunc(segment, func(r rune) bool { return !strings.ContainsRune(pathCharacters, r) }):
			return "", &flaw{quote(text) + " has characters that a path prefix cannot have, like ?, # or %", hint}
		}
	}
	return path, nil
}

// checkCredential checks that a client id, a client secret or a refresh token has only the
// characters of RFC 6749, appendix A (VSCHAR). It has a message of its own for each common
// copying mistake.
func checkCredential(text string) error {
	const hint = "copy it again, without line breaks, quotation marks or blanks around it"
	if strings.TrimSpace(text) != text {
		return &flaw{"begins or ends with a blank or a line break", hint}
	}
	for _, r := range text {
		switch {
		case r < ' ' || r == 0x7f:
			return &flaw{"holds a line break or another control character", hint}
		case r > '~':
			return &flaw{"holds a character that is not ASCII, which no credential has (RFC 6749, appendix A)", hint}
		}
	}
	return nil
}

func parseBool(text string) (any, error) {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return nil, &flaw{quote(text) + " is neither true nor false", "write true or false"}
	}
	return b, nil
}

func parseDuration(text string) (any, error) {
	d, err := time.ParseDuration(text)
	if err == nil {
		return d, nil
	}
	hint := "write a number and a unit, like 500ms, 60s or 2m"
	if _, err := strconv.ParseUint(text, 10, 32); err == nil {
		hint = "write a unit, like " + text + "s"
	}
	return nil, &flaw{quote(text) + " is not a duration", hint}
}

// A StatusCode is the status of an HTTP answer (RFC 9110, section 15).
type StatusCode int

// parseStatusCode parses an item of REFUSED_STATUS.
func parseStatusCode(text string) (any, error) {
	const hint = "write statuses of refused tokens besides 401, separated by commas, like 403,419"
	code, err := strconv.Atoi(strings.TrimSpace(text))
	switch {
	case err != nil || code < 400 || code > 599:
		return nil, &flaw{quote(text) + " is not a status from 400 to 599", hint}
	case code == 401:
		return nil, &flaw{"names 401, which always means that", hint}
	}
	return StatusCode(code), nil
}
