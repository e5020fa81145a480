package tokenendpoint

import (
	"net/http"
	"net/url"
	"time"

	"ticketproxy/proxy/inbound"
	"ticketproxy/secret"
)

// requestHeader must be "true" in a GET. A web page cannot add it without being asked first
// whether it may, by a browser.
const requestHeader = "Ticketproxy-Request"

// parameters are what a request asks for.
type parameters struct {
	least        time.Duration // that is to be left of the token
	refused      secret.String // the access token that the API refused
	clientID     string
	clientSecret secret.String
}

// parametersOf reads the parameters of a request. Those that are not known here are ignored
// (RFC 6749, section 3.2), scope among them: a token has the scope of its account.
func parametersOf(r *http.Request) (parameters, *inbound.Problem) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return parameters{}, badRequest("the query cannot be read")
	}
	for _, name := range []string{"client_secret", "client_assertion", "refused", "grant_type"} {
		if query.Has(name) {
			return parameters{}, badRequest(name + " is in the URL, which others may log: send it in the form of a POST")
		}
	}
	form := url.Values{}
	if r.Method == http.MethodPost {
		var p *inbound.Problem
		if form, p = ReadBody(r, false); p != nil {
			return parameters{}, p
		}
	} else if values := r.Header[requestHeader]; len(values) != 1 || values[0] != "true" {
		return parameters{}, inbound.NewProblem(http.StatusForbidden, "forbidden", "A header field is missing",
			"a GET needs the header field "+requestHeader+": true, which keeps web pages out")
	}
	if values := query["min"]; values != nil {
		form["min"] = append(form["min"], values...)
	}
	if len(form["min"]) > 1 {
		return parameters{}, badRequest("min is given twice")
	}
	if r.Method == http.MethodPost {
		if p := checkGrant(form); p != nil {
			return parameters{}, p
		}
	}
	asked := parameters{
		refused:      secret.New(form.Get("refused")),
		clientID:     form.Get("client_id"),
		clientSecret: secret.New(form.Get("client_secret")),
	}
	if text := form.Get("min"); text != "" {
		asked.least, err = time.ParseDuration(text)
		if err != nil || asked.least < 0 {
			return parameters{}, badRequest("min is not a duration of 0s or more: write it like 60s")
		}
	}
	return asked, nil
}

// checkGrant refuses grants other than client_credentials.
func checkGrant(form url.Values) *inbound.Problem {
	switch form.Get("grant_type") {
	case "client_credentials":
		return nil
	case "":
		return badRequest("grant_type is missing: send a form with grant_type=client_credentials")
	}
	p := badRequest("grant_type is not client_credentials, which is the only one here")
	p.OAuthError = &inbound.OAuthError{Error: "unsupported_grant_type"}
	return p
}

// badRequest says what is wrong with a request. The detail quotes nothing of it.
func badRequest(detail string) *inbound.Problem {
	return inbound.NewProblem(http.StatusBadRequest, "bad_request", "The request cannot be read", detail)
}
