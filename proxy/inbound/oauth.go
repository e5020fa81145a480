package inbound

import "strings"

// An OAuthError has the members of an error of a token endpoint (RFC 6749, section 5.2). An
// answer with them is application/json, as some clients insist.
type OAuthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// NewOAuthError returns the members for OAuth clients of an answer of our own. A code of OAuth that
// the problem has stays.
func NewOAuthError(p *Problem) *OAuthError {
	e := &OAuthError{Error: oauthCode(p.Code), Description: description(p.Detail)}
	if p.OAuthError != nil {
		e.Error = p.OAuthError.Error
	}
	return e
}

// oauthCode returns the error code of OAuth for one of our own. For temporarily_unavailable
// and login_required, which RFC 6749 and OpenID Connect have for another endpoint, it has
// none of this one.
func oauthCode(code string) string {
	switch code {
	case "unauthenticated":
		return "invalid_client"
	case "forbidden":
		return "unauthorized_client"
	case "token_unavailable", "rate_limited", "audit_unavailable":
		return "temporarily_unavailable"
	case "login_required":
		return code
	}
	return "invalid_request"
}

// description returns a text in the characters that RFC 6749 allows in error_description.
func description(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\':
			return '/'
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, text)
}
