// Package issuer talks to OAuth 2.0 token endpoints (RFC 6749): those of
// SocialBoards, OpenTicket and Ticketpark, and any other that keeps to the RFC.
// It sends each request once, and says of a failure how far it got. It knows no
// store and no configuration.
//
// Begin reading at [Client], then request.go and answer.go.
package issuer

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/dialect"
)

// An issuer that has the request may have acted on it. So its answer may take longer
// than sending the request.
const (
	defaultTimeout = 10 * time.Second
	answerFactor   = 3
)

// A Config says which token endpoint a Client asks, and in the name of which OAuth
// client.
type Config struct {
	Dialect      dialect.Dialect
	ClientID     string
	ClientSecret secret.String // not sent when empty, or with dialect.AuthNone
	Scope        string        // asked for with every grant but a refresh (RFC 6749, section 3.3); "" for none
	// IssuerURL is the issuer's identifier (RFC 8414, section 2). It has endpoints that the
	// dialect lacks looked up; "" when the dialect has them all.
	IssuerURL string
	// AnyClientAuth has ClientAuth be one that the issuer's metadata offers.
	AnyClientAuth bool
	// ClientCredentials has Refresh use the client's own grant (RFC 6749, section 4.4).
	ClientCredentials bool

	Params    url.Values        // further parameters of token requests
	Headers   http.Header       // further header fields of token requests
	Transport http.RoundTripper // what Transport returns; when nil, one with the system's roots
	// Timeout bounds how long the request may take to be sent; it is 10 s when 0.
	// The answer's last byte may take three times as long.
	Timeout time.Duration
	// Clock is told the Date of every answer (RFC 9110, section 6.6.1), which
	// shows whether the local clock is right. It returns at once; may be nil.
	Clock func(date time.Time)
}

// A Client asks one token endpoint. It is a tokens.Issuer. It is safe for concurrent use.
type Client struct {
	config   Config
	resolved atomic.Pointer[dialect.Dialect] // with the endpoints of the issuer's metadata; nil before
}

// New returns the client that c describes.
func New(c Config) *Client {
	if c.Transport == nil {
		c.Transport = Transport(nil, nil, nil)
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Clock == nil {
		c.Clock = func(time.Time) {}
	}
	return &Client{config: c}
}

// Dialect returns what the client knows of its provider.
func (c *Client) Dialect() dialect.Dialect {
	if d := c.resolved.Load(); d != nil {
		return *d
	}
	return c.config.Dialect
}

var _ tokens.Issuer = (*Client)(nil)

// Scope returns the scope that the client asks for; "" for none.
func (c *Client) Scope() string { return c.config.Scope }

// Refresh redeems a refresh token (RFC 6749, section 6). With Config.ClientCredentials it
// ignores the refresh token, and the grant has none. The grant's
// RefreshToken is empty when the issuer returned none, whatever the dialect's
// Rotation. The error is a *tokens.IssuerError, as with Password and Exchange.
func (c *Client) Refresh(ctx context.Context, refreshToken secret.String) (tokens.Grant, error) {
	if c.config.ClientCredentials {
		return c.clientCredentials(ctx)
	}
	return c.ask(ctx, dialect.GrantRefreshToken, map[string]secret.String{
		"refresh_token": refreshToken,
	}, nil)
}

// clientCredentials obtains a grant in the client's own name. No answer means that the
// client must log in: a client that is refused is refused for now.
func (c *Client) clientCredentials(ctx context.Context) (tokens.Grant, error) {
	grant, err := c.ask(ctx, dialect.GrantClientCredentials, nil, nil)
	if e, ok := errors.AsType[*tokens.IssuerError](err); ok && e.Class == tokens.Invalid {
		e.Class = tokens.Refused
	}
	grant.RefreshToken, grant.RefreshExpiry = secret.String{}, time.Time{}
	return grant, err
}

// Password obtains a grant with a user's name and password (RFC 6749, section
// 4.3). Class Invalid says that they are wrong.
func (c *Client) Password(ctx context.Context, username string, password secret.String) (tokens.Grant, error) {
	return c.ask(ctx, dialect.GrantPassword, map[string]secret.String{
		"password": password,
	}, map[string]string{"username": username})
}

// Exchange redeems an authorization code (RFC 6749, section 4.1.3), with the
// PKCE verifier (RFC 7636, section 4.5) where the dialect knows it. Class
// Invalid says that the code is not, or no longer, known.
func (c *Client) Exchange(
	ctx context.Context,
	code secret.String,
	redirectURI string,
	verifier secret.String,
) (tokens.Grant, error) {
	secrets := map[string]secret.String{"code": code}
	if c.Dialect().PKCE && !verifier.IsZero() {
		secrets["code_verifier"] = verifier
	}
	return c.ask(ctx, dialect.GrantAuthorizationCode, secrets, map[string]string{"redirect_uri": redirectURI})
}

// AuthorizeURL returns where a browser asks for consent (RFC 6749, section
// 4.1.1), with the S256 challenge (RFC 7636, section 4.3) where the dialect
// knows PKCE and one is given. It is "" when the dialect's own is no URL.
func (c *Client) AuthorizeURL(redirectURI, state, challenge string) string {
	d := c.Dialect()
	u, err := url.Parse(d.AuthorizeURL)
	if err != nil || u.Host == "" {
		return ""
	}
	query := u.Query()
	query.Set("response_type", "code")
	query.Set("client_id", c.config.ClientID)
	query.Set("redirect_uri", redirectURI)
	query.Set("state", state)
	if c.config.Scope != "" {
		query.Set("scope", c.config.Scope)
	}
	if d.PKCE && challenge != "" {
		query.Set("code_challenge", challenge)
		query.Set("code_challenge_method", "S256")
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// ask makes a token request.
func (c *Client) ask(
	ctx context.Context,
	grant dialect.GrantType,
	secrets map[string]secret.String,
	plain map[string]string,
) (obtained tokens.Grant, _ error) {
	a := attempt{dialect: c.Dialect(), grant: grant, secrets: []secret.String{c.config.ClientSecret}}
	for _, s := range secrets {
		a.secrets = append(a.secrets, s)
	}
	if !a.dialect.Allows(grant) {
		return tokens.Grant{}, a.unsent(errors.New(a.dialect.Name + " has no " + string(grant) + " grant"))
	}
	tokenURL := func(d dialect.Dialect) string { return d.TokenURL }
	params := c.tokenParams(grant, secrets, plain)
	err := c.post(ctx, a, tokenURL, params, func(a attempt, resp *http.Response) (err error) {
		obtained, err = a.read(resp)
		return err
	})
	return obtained, err
}

// post is the one place that sends secrets. It calls the round tripper itself, without
// an http.Client, so that nothing follows a redirect, keeps a cookie or tries
// again. The endpoint is one of the dialect's.
func (c *Client) post(
	ctx context.Context,
	a attempt,
	endpoint func(dialect.Dialect) string,
	params url.Values,
	read func(attempt, *http.Response) error,
) error {
	end := time.Now().Add(c.config.Timeout)
	d, err := c.discover(ctx)
	if err != nil {
		return a.unsent(err)
	}
	a.dialect = d
	req, sent, err := c.request(ctx, end, d, endpoint(d), params)
	if err != nil {
		return a.unsent(err)
	}
	ctx, cancel := withDeadlines(ctx, end, end.Add((answerFactor-1)*c.config.Timeout), sent.read)
	defer cancel()
	req = req.WithContext(ctx)
	a.obtained = time.Now()
	resp, err := c.config.Transport.RoundTrip(req)
	if err != nil {
		// net/http goes on dialling, for a later request.
		if t, ok := c.config.Transport.(interface{ CloseIdleConnections() }); ok {
			t.CloseIdleConnections()
		}
		if sent.seal() {
			c.forget()
			return a.unsent(a.describe(err, "connection"))
		}
		return &tokens.IssuerError{Class: tokens.Ambiguous, Err: a.describe(err, "answer")}
	}
	defer resp.Body.Close()
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.config.Clock(date)
	}
	err = read(a, resp)
	if e, ok := errors.AsType[*tokens.IssuerError](err); ok && e.Class == tokens.Refused && e.Code == "" {
		c.forget() // that is no answer of a token endpoint: it may have moved
	}
	return err
}
