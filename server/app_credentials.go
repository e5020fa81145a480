package server

import (
	"net/http"
	"net/url"

	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/tokenendpoint"
	"ticketproxy/secret"
)

// appCredentials are what a token request says of who sends it (RFC 6749, section 2.3.1).
type appCredentials struct {
	id     string
	secret secret.String // zero when there is none
}

// credentialsOf reads the client's credentials from a token request: from Basic, whose parts are
// form-encoded, or from the body, which is a form or JSON.
func credentialsOf(r *http.Request) (appCredentials, *inbound.Problem) {
	if id, password, ok := r.BasicAuth(); ok {
		return appCredentials{unescaped(id), secret.New(unescaped(password))}, nil
	}
	body, p := tokenendpoint.ReadBody(r, true)
	return appCredentials{body.Get("client_id"), secret.New(body.Get("client_secret"))}, p
}

// unescaped undoes the form-encoding of a part of Basic, where it is one.
func unescaped(text string) string {
	plain, err := url.QueryUnescape(text)
	if err != nil {
		return text
	}
	return plain
}
