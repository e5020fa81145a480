package tokenendpoint

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"ticketproxy/audit"
	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/secret"
)

// A Config says whose tokens are handed out, and to whom.
type Config struct {
	Guard      *inbound.Guard
	Accounts   map[string]Source // by the account's name; not changed any more
	Authorizer Authorizer        // nil: every process of this machine may have every token
	Audit      *audit.Log        // nil is off
}

// A Token is an access token that is handed out.
type Token struct {
	proxy.Token
	Expiry time.Time // when it is not to be sent any more; zero when not known
}

// A Source hands out an account's access tokens. Safe for concurrent use. Its errors are
// *proxy.TokenError, or ctx's.
type Source interface {
	// TokenFor returns a token of which at least the given time is left, as far as that can
	// be had. It may refresh for that, but not without end.
	TokenFor(ctx context.Context, least time.Duration) (Token, error)
	// Replace notes that the API refused an access token. If that is the current one, it
	// causes a refresh, with the same pauses as a 401 to a request through the proxy.
	Replace(ctx context.Context, refused secret.String, least time.Duration) (Token, error)
}

// An Authorizer says who may have which tokens. Safe for concurrent use.
type Authorizer interface {
	// Authorize returns the caller that the request proves, if it may have tokens of the
	// account, or the answer for it. An account that does not exist is one that the caller
	// may not have.
	Authorize(r *http.Request, account string) (inbound.Caller, *inbound.Problem)
}

// pathPrefix begins the path of every token endpoint. The account's name follows.
const pathPrefix = "/token/"

// leastLeft is the least time that a token is to be valid when it is handed out. Clients
// take an expires_in of 0 for "not known", and would use the token for ever.
const leastLeft = time.Second

// handler serves the listener of TOKEN_LISTEN.
type handler struct{ config Config }

// New returns the handler of the listener that hands out access tokens.
func New(c Config) http.Handler { return &handler{c} }

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	entry, err := h.config.Audit.Begin()
	if err != nil {
		answerProblem(w, r, inbound.AuditUnavailable())
		return
	}
	event := audit.Event{
		Action:  "token",
		Client:  inbound.PeerOf(r),
		Method:  r.Method,
		Path:    r.URL.EscapedPath(),
		TraceID: audit.TraceID(r.Header.Get("Traceparent")),
	}
	body := &inbound.CountedBody{ReadCloser: r.Body}
	r.Body = body
	defer func() {
		event.Received = body.Count
		entry.End(event)
	}()
	token, problem := h.token(r, &event)
	if problem != nil {
		event.Status, event.Code, event.Reason = problem.Status, problem.Code, problem.Detail
		event.Sent = answerProblem(w, r, problem)
		return
	}
	event.Status, event.Generation = http.StatusOK, token.Generation
	event.Sent = answerToken(w, token)
}

// token returns the token that a request may have. It notes in the event who asks for what.
func (h *handler) token(r *http.Request, event *audit.Event) (Token, *inbound.Problem) {
	if p := h.refuse(r); p != nil {
		return Token{}, p
	}
	account, ok := strings.CutPrefix(r.URL.EscapedPath(), pathPrefix)
	if !ok || !isName(account) {
		return Token{}, h.notFound()
	}
	asked, p := parametersOf(r)
	if p != nil {
		return Token{}, p
	}
	if h.config.Authorizer != nil {
		caller, p := h.authorize(r, account, asked)
		event.Caller, event.Proof = caller.Name, caller.Proof
		if p != nil {
			return Token{}, p
		}
	}
	source, ok := h.config.Accounts[account]
	if !ok {
		return Token{}, h.notFound()
	}
	event.Account = account
	var token Token
	var err error
	if asked.refused.IsZero() {
		token, err = source.TokenFor(r.Context(), max(asked.least, leastLeft))
	} else {
		token, err = source.Replace(r.Context(), asked.refused, max(asked.least, leastLeft))
	}
	if err != nil {
		return Token{}, problemOf(err, account)
	}
	return token, nil
}

// refuse refuses requests of those that must not have tokens, whoever they can prove to be.
func (h *handler) refuse(r *http.Request) *inbound.Problem {
	if p := refuseBrowser(r.Header); p != nil { // its detail is better than the guard's
		return p
	}
	if p := h.config.Guard.Refuse(r); p != nil {
		return p
	}
	if p := refuseForwarder(r.Header); p != nil {
		return p
	}
	if h.config.Authorizer == nil && !onThisMachine(r) {
		return inbound.NewProblem(http.StatusForbidden, "forbidden", "Only this machine may have tokens",
			"without TICKETPROXY_CALLERS_FILE tokens are handed out at loopback addresses and Unix sockets only")
	}
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		p := inbound.NewProblem(http.StatusMethodNotAllowed, "method_not_allowed", "This method is not served",
			"POST is for OAuth clients, and GET for others")
		p.Allow = "GET, POST"
		return p
	}
	return nil
}

// authorize asks for the caller. The credentials of a form are presented as those of Basic.
func (h *handler) authorize(r *http.Request, account string, asked parameters) (inbound.Caller, *inbound.Problem) {
	if !asked.clientSecret.IsZero() {
		if r.Header["Authorization"] != nil || r.Header["Proxy-Authorization"] != nil {
			return inbound.Caller{}, badRequest("the client proves itself twice: in a header field and in the form")
		}
		r = withCredentials(r, asked.clientID, asked.clientSecret)
	}
	caller, p := h.config.Authorizer.Authorize(r, account)
	if p == nil && asked.clientID != "" && asked.clientID != caller.Name {
		p = inbound.NewProblem(http.StatusUnauthorized, "unauthenticated", "The caller is not known",
			"client_id is not the name of the caller that the request proves")
		p.Challenge = inbound.Challenges()
	}
	return caller, p
}

// withCredentials returns the request with credentials in its header.
func withCredentials(r *http.Request, name string, key secret.String) *http.Request {
	r = r.WithContext(r.Context())
	r.Header = r.Header.Clone()
	r.SetBasicAuth(name, key.Reveal())
	return r
}

// notFound answers what names no account. Where every process of this machine may have every
// token, it names them.
func (h *handler) notFound() *inbound.Problem {
	detail := "the path is " + pathPrefix + " and the name of an account"
	if h.config.Authorizer == nil {
		detail += "; the accounts are: " + strings.Join(slices.Sorted(maps.Keys(h.config.Accounts)), ", ")
	}
	return inbound.NewProblem(http.StatusNotFound, "no_such_upstream", "No such account", detail)
}

// isName reports whether a text can be the name of an account. Such a name needs no encoding.
func isName(text string) bool {
	return text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// onThisMachine reports whether a request came to a loopback address or a Unix socket.
func onThisMachine(r *http.Request) bool {
	switch local := r.Context().Value(http.LocalAddrContextKey).(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return local.IP.IsLoopback()
	}
	return false
}

// problemOf says what an app is told when there is no token.
func problemOf(err error, account string) *inbound.Problem {
	title, code := "No access token available", "token_unavailable"
	detail, wait := "the request was given up", time.Second
	if token, ok := errors.AsType[*proxy.TokenError](err); ok {
		detail, wait = token.Detail, max(token.RetryAfter, wait)
		if token.LoginRequired {
			title, code, wait = "The account needs a person", "login_required", 0
		}
	}
	p := inbound.NewProblem(http.StatusServiceUnavailable, code, title, detail)
	p.Upstream, p.RetryAfter = account, wait
	return p
}
