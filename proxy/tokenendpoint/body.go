package tokenendpoint

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"ticketproxy/proxy/inbound"
)

// maxBody is the length of the longest body. It may hold an access token that was refused.
const maxBody = 64 << 10

// ReadBody reads the parameters in the body of a token request: a form (RFC 6749, appendix B), or
// an object of JSON, which some vendors ask for, if that is accepted. There are none without a
// body. A parameter that is known here may be given once.
func ReadBody(r *http.Request, acceptJSON bool) (url.Values, *inbound.Problem) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, badRequest("the body did not arrive")
	case len(body) > maxBody:
		return nil, badRequest("the body is longer than 64 KiB")
	case len(body) == 0:
		return url.Values{}, nil
	}
	isJSON, p := bodyType(r.Header, acceptJSON)
	if p != nil {
		return nil, p
	}
	parameters, p := parseBody(body, isJSON)
	if p != nil {
		return nil, p
	}
	for name, values := range parameters {
		if len(values) > 1 && isKnown(name) {
			return nil, badRequest(name + " is given twice")
		}
	}
	return parameters, nil
}

// bodyType reports whether a body is JSON. Otherwise it is a form.
func bodyType(h http.Header, acceptJSON bool) (isJSON bool, _ *inbound.Problem) {
	advice := "send a form (application/x-www-form-urlencoded)"
	if acceptJSON {
		advice += " or JSON (application/json)"
	}
	if len(h["Content-Type"]) != 1 {
		return false, badRequest("the body has no Content-Type, or more than one: " + advice)
	}
	kind, attributes, err := mime.ParseMediaType(h.Get("Content-Type"))
	isJSON = acceptJSON && kind == "application/json"
	switch charset, given := attributes["charset"]; {
	case err != nil || !isJSON && kind != "application/x-www-form-urlencoded":
		return false, badRequest("the body is of another type: " + advice)
	case given && !strings.EqualFold(charset, "utf-8"):
		return false, badRequest("the body's charset is not UTF-8")
	case h["Content-Encoding"] != nil:
		return false, badRequest("the body is compressed: send it as it is")
	}
	return isJSON, nil
}

// parseBody parses a form, or an object of JSON. Of the latter's members, those that are no text
// are ignored unless they are known.
func parseBody(body []byte, isJSON bool) (url.Values, *inbound.Problem) {
	if !isJSON {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, badRequest("the form cannot be read: its names and values must be percent-encoded")
		}
		return form, nil
	}
	var members map[string]any
	if json.Unmarshal(body, &members) != nil || members == nil {
		return nil, badRequest("the body is not an object of JSON")
	}
	parameters := url.Values{}
	for name, value := range members {
		text, ok := value.(string)
		if !ok && isKnown(name) {
			return nil, badRequest(name + " is not a text")
		}
		parameters.Set(name, text)
	}
	return parameters, nil
}

// isKnown reports whether a parameter has a meaning here.
func isKnown(name string) bool {
	switch name {
	case "grant_type", "client_id", "client_secret", "min", "refused", "scope":
		return true
	}
	return false
}
