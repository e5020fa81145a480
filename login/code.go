package login

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// An authRequest is one authorization request (RFC 6749, section 4.1.1).
//
// The state protects against a response that belongs to another account (RFC 6749,
// section 10.12), so nobody else may know it. All users of the machine can read the
// browser's arguments, so the address in them does not hold the state. It leads to the
// handler here, which sets a cookie and redirects to the issuer. The response must have
// both the state and the cookie. The first browser that opens the address gets them,
// and it might be another user's. Therefore a response is held for a while, and the login
// ends when a second browser opens the address.
type authRequest struct {
	redirect *url.URL
	state    secret.String // ties the response to this request
	verifier secret.String // ties the code to this process (RFC 7636)
	start    string        // the path of the address that starts the browser
	cookie   http.Cookie   // ties the response to the browser that was started
}

// An authResponse is the issuer's authorization response (RFC 6749, section 4.1.2): a
// code, or an error.
type authResponse struct {
	code secret.String
	err  error
}

// newAuthRequest generates a state of 130 bits, and a verifier of 260 bits in 52
// characters (RFC 7636, section 4.1).
func newAuthRequest(redirect *url.URL) *authRequest {
	return &authRequest{
		redirect: redirect,
		state:    secret.New(rand.Text()),
		verifier: secret.New(rand.Text() + rand.Text()),
		start:    "/login/" + rand.Text(),
		cookie: http.Cookie{
			Name:     "ticketproxy-login-" + rand.Text()[:8],
			Value:    rand.Text(),
			Path:     "/", // for the callback, and for a reload of the start address
			HttpOnly: true,
			SameSite: http.SameSiteLaxMode,
		},
	}
}

// startURL returns the address that the browser opens first. Its host is the redirect
// URI's, because cookies belong to a host.
func (c *authRequest) startURL() string {
	return (&url.URL{Scheme: "http", Host: c.redirect.Host, Path: c.start}).String()
}

// hasCookie reports whether the request comes from the browser that got the cookie.
func (c *authRequest) hasCookie(r *http.Request) bool {
	return slices.ContainsFunc(r.CookiesNamed(c.cookie.Name), func(got *http.Cookie) bool {
		return subtle.ConstantTimeCompare([]byte(got.Value), []byte(c.cookie.Value)) == 1
	})
}

// challenge returns the S256 code challenge (RFC 7636, section 4.2).
func (c *authRequest) challenge() string {
	sum := sha256.Sum256([]byte(c.verifier.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// parseResponse parses an authorization response (RFC 6749, section 4.1.2). It returns
// false unless the state is that of the request, and unless each parameter occurs at
// most once (section 3.1).
func (c *authRequest) parseResponse(query url.Values) (_ authResponse, ok bool) {
	if len(query["state"]) != 1 ||
		subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(c.state.Reveal())) != 1 {
		return authResponse{}, false
	}
	code, refusal := query["code"], query["error"]
	switch {
	case len(code) == 0 && len(refusal) == 1 && refusal[0] != "":
		description := ""
		if len(query["error_description"]) == 1 {
			description = query.Get("error_description")
		}
		return authResponse{err: errors.New(authErrorText(refusal[0]) + quoteIssuer(description))}, true
	case len(refusal) == 0 && len(code) == 1 && code[0] != "":
		return authResponse{code: secret.New(code[0])}, true
	}
	return authResponse{}, false
}

// authErrorText describes an error code of RFC 6749, section 4.1.2.1. It shows nothing
// of other codes, which could be any text.
func authErrorText(code string) string {
	text := map[string]string{
		"access_denied":             "consent was refused",
		"invalid_request":           "the issuer does not understand the request",
		"unauthorized_client":       "the issuer gives this client no authorization codes",
		"unsupported_response_type": "the issuer gives no authorization codes",
		"invalid_scope":             "the issuer wants a scope to be asked for",
		"server_error":              "the issuer met an error",
		"temporarily_unavailable":   "the issuer is not available now",
	}[code]
	if text == "" {
		return "the issuer sent the browser back with an error that is not in RFC 6749"
	}
	return text + " (" + code + ")"
}

// byCode sends a person's browser to the issuer for consent, and redeems the code that
// the browser brings to a port on loopback (RFC 8252, section 7.3).
func (f *Flow) byCode(ctx context.Context) (tokens.Grant, error) {
	redirect, err := f.redirect()
	if err != nil {
		return tokens.Grant{}, err
	}
	var sockets []net.Listener
	if !f.Options.NoBrowser {
		if sockets, err = f.listen(ctx, redirect); err != nil {
			return tokens.Grant{}, err
		}
	} else if redirect.Port() == "0" {
		// Nothing listens there, so the browser stops at the address, and the person copies it.
		if redirect.Host, err = f.freePort(ctx, redirect.Host); err != nil {
			return tokens.Grant{}, err
		}
	}
	c := newAuthRequest(redirect)
	address := f.Client.AuthorizeURL(redirect.String(), c.state.Reveal(), c.challenge())
	var got authResponse
	if f.Options.NoBrowser {
		fmt.Fprintf(f.Stderr, "Allow the access in a browser at this address. It then goes to %s.\n\n  %s\n\n",
			redirect, address)
		got, err = f.askForAddress(ctx, c)
	} else {
		const text = "Allow the access in the browser that opens this address, which works in one browser alone."
		fmt.Fprintf(f.Stderr, text+"\n\n  %s\n\n", c.startURL())
		got, err = f.waitForCallback(ctx, c, sockets, address)
	}
	if err != nil {
		return tokens.Grant{}, err
	}
	registered := "see that " + redirect.String() +
		" is registered for the client, or name the redirect URI that is with --redirect-uri"
	if got.err != nil {
		return tokens.Grant{}, hint.With(
			got.err,
			"run ticketproxy login "+f.Account+" again, and allow the access; or "+registered,
		)
	}
	grant, err := f.Client.Exchange(context.WithoutCancel(ctx), got.code, redirect.String(), c.verifier)
	return grant, f.describe(err, errorTexts{
		unknown: "the issuer does not know the code, or no longer",
		hint:    registered,
		lost:    "run ticketproxy login " + f.Account + " again",
	})
}

// redirect returns the redirect URI, with port 0 for any free port. Its default has the
// loopback address and not localhost (RFC 8252, section 8.3).
func (f *Flow) redirect() (*url.URL, error) {
	said := f.Options.RedirectURI
	if said == "" {
		return &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", f.Options.CallbackPort), Path: "/callback"}, nil
	}
	u, err := url.Parse(said)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil ||
		strings.Contains(said, "#") ||
		u.Port() == "0" {
		return nil, hint.Usage(
			errors.New("--redirect-uri is no redirect URI"),
			"write it as it is registered for the client, like http://localhost:1234/callback",
		)
	}
	if !f.Options.NoBrowser && (u.Scheme != "http" || !onLoopback(u.Hostname())) {
		return nil, hint.Usage(
			errors.New("the browser would go to "+u.Hostname()+", and not come back here"),
			"add --no-browser, and paste the address at which the browser ends up",
		)
	}
	return u, nil
}

// freePort returns the address with a free port.
func (f *Flow) freePort(ctx context.Context, address string) (string, error) {
	sockets, err := f.Listen(ctx, address)
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer closeAll(sockets)
	return sockets[0].Addr().String(), nil
}

func closeAll(sockets []net.Listener) {
	for _, s := range sockets {
		s.Close()
	}
}

// onLoopback reports whether a host is localhost or a loopback address.
func onLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// askForAddress asks for the address at which the browser stopped. A person at a
// terminal may try again.
func (f *Flow) askForAddress(ctx context.Context, c *authRequest) (authResponse, error) {
	p := f.prompt()
	for {
		line, err := p.ask(ctx, "The address at which the browser ended up, pasted (it is not shown): ", true)
		if err != nil {
			return authResponse{}, f.promptError(ctx, "address", err)
		}
		if u, err := url.Parse(strings.TrimSpace(line)); err == nil {
			if got, ok := c.parseResponse(u.Query()); ok {
				return got, nil
			}
		}
		wrong := hint.With(
			errors.New("that address is no answer to this login: it lacks the code, or has the state of another one"),
			"copy the whole address; it begins with "+c.redirect.String(),
		)
		if p.terminal == nil {
			return authResponse{}, wrong
		}
		fmt.Fprintf(f.Stderr, "%v\nhint: %s\n", wrong, hint.Of(wrong))
	}
}
