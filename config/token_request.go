package config

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"ticketproxy/tokens/dialect"
)

// issuerURL checks ISSUER_URL. With it, a client without a secret is a public one, and the
// issuer's metadata says how others authenticate.
func (p *parser) issuerURL(d *draft) {
	if d.IssuerURL == nil {
		return
	}
	if d.IssuerURL.RawQuery != "" || d.IssuerURL.ForceQuery {
		p.report.add(d.variable("ISSUER_URL"), "must not have a query", "remove the ? and all that follows it")
	}
	if p.vars[d.variable("CLIENT_AUTH")] == "" {
		d.AnyClientAuth = true
		if d.ClientSecret.IsZero() {
			d.ClientAuth = "none"
		}
	}
}

// tokenRequests checks what is added to the token requests of an account.
func (p *parser) tokenRequests(d *draft) {
	if strings.ContainsFunc(d.Scope, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		p.report.add(d.variable("SCOPE"), "has characters that a scope cannot have (RFC 6749, section 3.3)",
			"write scopes as the issuer names them, separated by blanks")
	}
	if _, err := parseParams(d.TokenParams.Reveal()); err != nil {
		p.report.flaw(d.variable("TOKEN_PARAMS"), err)
	}
	if _, err := parseHeaders(d.TokenHeaders.Reveal()); err != nil {
		p.report.flaw(d.variable("TOKEN_HEADERS"), err)
	}
}

// clientCredentials checks an account whose tokens are obtained in the client's own name.
func (p *parser) clientCredentials(d *draft) {
	const why = "is never used, since GRANT is client_credentials"
	switch {
	case !d.Dialect.Allows(dialect.GrantClientCredentials):
		p.report.add(d.variable("GRANT"), quote(d.Provider)+" has no client_credentials grant", "remove it")
	case d.ClientAuth == "none":
		p.report.add(d.variable("CLIENT_AUTH"), "must not be none, since GRANT is client_credentials (RFC 6749, section 4.4)",
			"write body, basic or basic_plain")
	}
	for _, key := range []string{"REFRESH_TOKEN", "REFRESH_TOKEN" + fileSuffix, "ROTATION", "REFRESH_TOKEN_LIFETIME"} {
		if p.vars[d.variable(key)] != "" {
			p.report.add(d.variable(key), why, "remove it")
		}
	}
	d.Rotation = "none"
}

// Params returns the parameters of TOKEN_PARAMS.
func (u Upstream) Params() url.Values {
	params, _ := parseParams(u.TokenParams.Reveal()) // which was checked
	return params
}

// Headers returns the header fields of TOKEN_HEADERS.
func (u Upstream) Headers() http.Header {
	headers, _ := parseHeaders(u.TokenHeaders.Reveal()) // which was checked
	return headers
}

// parseParams parses TOKEN_PARAMS, which is form-encoded. A parameter that the program
// sets itself is a mistake.
func parseParams(text string) (url.Values, error) {
	params, err := url.ParseQuery(text)
	if err != nil {
		return nil, &flaw{"is not form-encoded", "write it like audience=https%3A%2F%2Fapi.example.com&resource=a"}
	}
	own := []string{
		"grant_type", "refresh_token", "client_id", "client_secret", "code", "code_verifier", "redirect_uri", "username",
		"password",
	}
	for name := range params {
		if name == "" {
			return nil, &flaw{"has a parameter without a name", "write it like audience=a&resource=b"}
		}
		if slices.Contains(own, name) {
			return nil, &flaw{"sets " + name + ", which the program sets itself", "remove it"}
		}
	}
	return params, nil
}

// parseHeaders parses TOKEN_HEADERS: items separated by commas, each Name: value or
// Name=value. Values are percent-decoded, so that they can have commas. A field that the
// program or net/http sets itself is a mistake.
func parseHeaders(text string) (http.Header, error) {
	headers := http.Header{}
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		name, value, err := parseHeader(item)
		if err != nil {
			return nil, &flaw{err.Error(), "write it like X-Tenant: a, X-Api-Key: b; write %2C for a comma in a value"}
		}
		switch http.CanonicalHeaderKey(name) {
		case "Authorization", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Accept-Encoding",
			"Connection", "Host", "Trailer", "Expect", "Te", "Upgrade":
			return nil, &flaw{"sets " + http.CanonicalHeaderKey(name) + ", which the program sets itself", "remove it"}
		}
		headers.Add(name, value)
	}
	return headers, nil
}

// parseHeader parses an item of TOKEN_HEADERS. Its errors do not show the value.
func parseHeader(item string) (name, value string, err error) {
	i := strings.IndexAny(item, ":=")
	if i < 0 {
		return "", "", errors.New("has an item without a colon")
	}
	name = strings.TrimSpace(item[:i])
	value, err = url.PathUnescape(strings.TrimSpace(item[i+1:]))
	if err != nil || !httpguts.ValidHeaderFieldValue(value) {
		return "", "", errors.New("has a value that a header field cannot have")
	}
	if !httpguts.ValidHeaderFieldName(name) {
		return "", "", errors.New("has a name that a header field cannot have")
	}
	return name, value, nil
}
