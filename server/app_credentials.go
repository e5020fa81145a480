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
// form-encoded, or from the body, which is a form or JSON. A client proves itself in one way (RFC 6749,
// section 2.3); the same in both is let pass, since some clients try both at once.
func credentialsOf(r *http.Request) (appCredentials, *inbound.Problem) {
	body, p := tokenendpoint.ReadBody(r, true)
	form := appCredentials{body.Get("client_id"), secret.New(body.Get("client_secret"))}
	id, password, isBasic := r.BasicAuth()
	basic := appCredentials{unescaped(id), secret.New(unescaped(password))}
	switch {
	case isBasic && !form.secret.IsZero() && (form.id != basic.id || !form.secret.Equal(basic.secret)):
		return appCredentials{}, inbound.NewProblem(http.StatusBadRequest, "bad_request", "The request cannot be read",
			"the client proves itself twice: in a header field and in the body")
	case isBasic:
		return basic, nil
	}
	return form, p
}

// unescaped undoes the form-encoding of a part of Basic, where it is one.
func unescaped(text string) string {
	plain, err := url.QueryUnescape(text)
	if err != nil {
		return text
	}
	return plain
}
