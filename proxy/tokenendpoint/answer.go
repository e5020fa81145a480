package tokenendpoint

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"ticketproxy/proxy/inbound"
)

// An Answer is a token as it is handed out (RFC 6749, section 5.1). It has no refresh token.
type Answer struct {
	AccessToken string `json:"access_token"` // the one place where it leaves this package
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in,omitempty"` // seconds; 0 when not known
	// ExpiresAt is in seconds since 1970, and 0 when not known. OAuth clients such as Authlib
	// keep a number of that name beside the token, and fail where it is a text.
	ExpiresAt int64 `json:"expires_at,omitempty"`
}

// NewAnswer returns the answer for a token. A token that expires within a second has an
// ExpiresIn of 1.
func NewAnswer(token Token, now time.Time) Answer {
	a := Answer{AccessToken: token.AccessToken.Reveal(), TokenType: "Bearer"}
	if !token.Expiry.IsZero() {
		a.ExpiresIn, a.ExpiresAt = max(int64(token.Expiry.Sub(now)/time.Second), 1), token.Expiry.Unix()
	}
	return a
}

// answerToken hands out a token, and returns the length of the answer's body.
func answerToken(w http.ResponseWriter, token Token) int64 {
	body, err := json.Marshal(NewAnswer(token, time.Now()))
	if err != nil { // strings and numbers marshal
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	n, _ := w.Write(append(body, '\n'))
	return int64(n)
}

// answerProblem answers with a problem, and returns the length of the answer's body. For
// a POST it has the members of RFC 6749, section 5.2, too, and is application/json: some
// OAuth clients read nothing else.
func answerProblem(w http.ResponseWriter, r *http.Request, problem *inbound.Problem) int64 {
	p := *problem // others may answer with it, too
	p.OAuthError = nil
	if r.Method == http.MethodPost {
		p.OAuthError = inbound.NewOAuthError(problem)
		w.Header().Set("Pragma", "no-cache")
	}
	counter := &counter{ResponseWriter: w}
	p.Answer(counter)
	return counter.written
}

// counter counts the bytes of an answer's body.
type counter struct {
	http.ResponseWriter
	written int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.written += int64(n)
	return n, err
}
