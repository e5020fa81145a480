package issuer

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/dialect"
)

// An attempt is one token request and the reading of its answer.
type attempt struct {
	dialect  dialect.Dialect
	grant    dialect.GrantType
	secrets  []secret.String // what the request held and no error may
	obtained time.Time       // before the request was sent
}

func (a attempt) unsent(err error) error {
	return &tokens.IssuerError{Class: tokens.NotSent, Err: err}
}

// read returns the grant of an answer, or an error whose class says what may follow. An
// answer that no rule covers is Ambiguous.
func (a attempt) read(resp *http.Response) (tokens.Grant, error) {
	text, broken, err := a.text(resp)
	if err != nil {
		return tokens.Grant{}, err
	}
	return a.accept(&tokens.IssuerError{Status: resp.StatusCode}, text, broken)
}

// text returns the body of a successful answer; broken is why its end is missing. The
// error is that of any other answer.
func (a attempt) text(resp *http.Response) (text []byte, broken, err error) {
	status := resp.StatusCode
	failed := &tokens.IssuerError{Status: status}
	after, silence := retryAfter(resp.Header, time.Now())
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && silence:
		failed.Class, failed.RetryAfter = tokens.Throttled, after
		return nil, nil, failed
	case status >= 300 && status < 400:
		// A server that redirects has not acted on the request. A token is sent to
		// its issuer only.
		failed.Class, failed.Err = tokens.Refused, errRedirect
		return nil, nil, failed
	}
	text, broken = readText(resp)
	if status/100 == 2 {
		return text, broken, nil
	}
	code, description := errorCode(text)
	failed.Class, failed.Code = a.classify(status, code), a.hide(code)
	failed.Description = secret.New(a.hide(description))
	if code == "" && broken != nil {
		failed.Err = a.describe(broken, "answer")
		if _, known := errors.AsType[unusable](broken); !known {
			failed.Class = tokens.Ambiguous // the code was lost on the way
		}
	}
	return nil, nil, failed
}

// accept reads a successful answer. An answer whose JSON object is whole is accepted even
// if the rest did not come: the refresh token that was sent is spent. After an answer
// without a grant it may be spent. After an answer with a refresh token alone, asking
// again soon would not help.
func (a attempt) accept(failed *tokens.IssuerError, text []byte, broken error) (tokens.Grant, error) {
	g, err := a.readGrant(text)
	switch {
	case err == nil:
		return g, nil
	case errors.Is(err, errTokenType), !g.RefreshToken.IsZero():
		failed.Class, failed.Err = tokens.Refused, err
		return g, failed
	case broken != nil:
		failed.Class, failed.Err = tokens.Ambiguous, a.describe(broken, "answer")
	default:
		code, _ := errorCode(text)
		failed.Class, failed.Code = tokens.Ambiguous, a.hide(code)
		if failed.Code == "" {
			failed.Err = err
		}
	}
	return tokens.Grant{}, failed
}

// classify reads an error answer (RFC 6749, section 5.2). A 4xx without a code
// mostly comes from something in front of the issuer, or from another place than the
// token endpoint, so it does not end an account. Asking again soon would not help. A
// 408 and the 5xx do not tell how far the request got.
func (a attempt) classify(status int, code string) tokens.Class {
	switch {
	case status < 400, status >= 500, status == http.StatusRequestTimeout:
		return tokens.Ambiguous
	case code == "invalid_grant":
		return tokens.Invalid
	case a.grant == dialect.GrantRefreshToken &&
		slices.Contains(a.dialect.Invalid, dialect.Answer{Status: status, Code: code}):
		return tokens.Invalid
	}
	return tokens.Refused
}

// hide drops a text that holds a secret or is a part of one.
func (a attempt) hide(text string) string {
	for _, s := range a.secrets {
		if !s.IsZero() && (strings.Contains(text, s.Reveal()) || strings.Contains(s.Reveal(), text)) {
			return ""
		}
	}
	return text
}
