package server

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"

	"ticketproxy/proxy/inbound"
	"ticketproxy/secret"
)

// appCredentials are what a token request says of who sends it (RFC 6749, section 2.3.1).
type appCredentials struct {
	id     string
	secret secret.String // zero when there is none
}

// maxTokenRequest bounds the body of a token request.
const maxTokenRequest = 64 << 10

// credentialsOf reads the client's credentials from a token request: from Basic, whose parts are
// form-encoded, or from the body, which is a form or JSON. It reads the body.
func credentialsOf(r *http.Request) (appCredentials, *inbound.Problem) {
	if id, password, ok := r.BasicAuth(); ok {
		return appCredentials{unescaped(id), secret.New(unescaped(password))}, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxTokenRequest+1))
	if err != nil || len(body) > maxTokenRequest {
		return appCredentials{}, inbound.NewProblem(http.StatusBadRequest, "bad_request", "The token request cannot be read",
			"its body is longer than 64 KiB, or broke off")
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/json" {
		var fields struct {
			ID     string `json:"client_id"`
			Secret string `json:"client_secret"`
		}
		if json.Unmarshal(body, &fields) != nil {
			return appCredentials{}, inbound.NewProblem(http.StatusBadRequest, "bad_request", "The token request cannot be read",
				"its body is not an object of JSON")
		}
		return appCredentials{fields.ID, secret.New(fields.Secret)}, nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["client_id"]) > 1 || len(form["client_secret"]) > 1 {
		return appCredentials{}, inbound.NewProblem(http.StatusBadRequest, "bad_request", "The token request cannot be read",
			"its body is not a form, or has client_id or client_secret twice")
	}
	return appCredentials{form.Get("client_id"), secret.New(form.Get("client_secret"))}, nil
}

// unescaped undoes the form-encoding of a part of Basic, where it is one.
func unescaped(text string) string {
	plain, err := url.QueryUnescape(text)
	if err != nil {
		return text
	}
	return plain
}
