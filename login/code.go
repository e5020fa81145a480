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

// A consent is one request for an authorization code (RFC 6749, section 4.1).
//
// The state is the defence against an answer that belongs to another account (RFC
// 6749, section 10.12), so nobody else may know it. The address that starts the
// browser is in the browser's arguments, which all users of the machine can read.
// That is why it holds no state. It leads to ourselves, where it sets a cookie and
// goes on to the issuer, and the answer must bring both the state and the cookie.
// Whoever opens the address first gets them, so a second browser that opens it
// ends the login, and the answer is held for a while in which the person's own
// browser does that.
type consent struct {
	redirect *url.URL
	state    secret.String // ties the answer to this request
	verifier secret.String // ties the code to this process (RFC 7636)
	start    string        // the path of the address that starts the browser
	cookie   http.Cookie   // ties the answer to the browser that was started
}

// An answer is what the issuer sent the browser back with: a code, or the
// reason why there is none.
type answer struct {
	code secret.String
	err  error
}

// newConsent draws a state of 130 bits, and a verifier of 260 in 52
// characters (RFC 7636, section 4.1).
func newConsent(redirect *url.URL) *consent {
	return &consent{
		redirect: redirect,
		state:    secret.New(rand.Text()),
		verifier: secret.New(rand.Text() + rand.Text()),
		start:    "/login/" + rand.Text(),
		cookie: http.Cookie{
			Name:     "ticketproxy-login-" + rand.Text()[:8],
			Value:    rand.Text(),
			Path:     "/", // for the callback, and for the start again
			HttpOnly: true,
			SameSite: http.SameSiteLaxMode,
		},
	}
}

// startURL is the address that starts the browser. Its host is the redirect
// URI's, since cookies belong to a host.
func (c *consent) startURL() string {
	return (&url.URL{Scheme: "http", Host: c.redirect.Host, Path: c.start}).String()
}

// started reports whether the request comes from the browser that was started.
func (c *consent) started(r *http.Request) bool {
	return slices.ContainsFunc(r.CookiesNamed(c.cookie.Name), func(got *http.Cookie) bool {
		return subtle.ConstantTimeCompare([]byte(got.Value), []byte(c.cookie.Value)) == 1
	})
}

// challenge is S256 (RFC 7636, section 4.2).
func (c *consent) challenge() string {
	sum := sha256.Sum256([]byte(c.verifier.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// read reads an authorization response (RFC 6749, section 4.1.2). It is not
// ours, but another page's on this machine, unless it has our state; and
// no parameter comes twice (section 3.1).
func (c *consent) read(query url.Values) (_ answer, ours bool) {
	if len(query["state"]) != 1 ||
		subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(c.state.Reveal())) != 1 {
		return answer{}, false
	}
	code, refusal := query["code"], query["error"]
	switch {
	case len(code) == 0 && len(refusal) == 1 && refusal[0] != "":
		return answer{err: errors.New(refusalText(refusal[0]))}, true
	case len(refusal) == 0 && len(code) == 1 && code[0] != "":
		return answer{code: secret.New(code[0])}, true
	}
	return answer{}, false
}

// refusalText puts an error of RFC 6749, section 4.1.2.1, into words. Of any
// other nothing is shown, because it could be anything.
func refusalText(code string) string {
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

// byCode sends a person's browser to the issuer for consent, and redeems the
// code with which it comes back to this machine (RFC 8252, section 7.3).
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
		// Nobody listens there, so the browser stops, and the person copies the address.
		if redirect.Host, err = f.free(ctx, redirect.Host); err != nil {
			return tokens.Grant{}, err
		}
	}
	c := newConsent(redirect)
	address := f.Client.AuthorizeURL(redirect.String(), c.state.Reveal(), c.challenge())
	var got answer
	if f.Options.NoBrowser {
		fmt.Fprintf(
			f.Stderr,
			"Allow the access in a browser at this address. It then goes to %s.\n\n  %s\n\n",
			redirect,
			address,
		)
		got, err = f.pasted(ctx, c)
	} else {
		fmt.Fprintf(
			f.Stderr,
			"Allow the access in the browser that opens this address, which works in one browser alone.\n\n  %s\n\n",
			c.startURL(),
		)
		got, err = f.called(ctx, c, sockets, address)
	}
	if err != nil {
		return tokens.Grant{}, err
	}
	registered := "see that " + redirect.String() + " is registered for the client, or name the redirect URI that " +
		"is with --redirect-uri"
	if got.err != nil {
		return tokens.Grant{}, hint.With(
			got.err,
			"run ticketproxy login "+f.Account+" again, and allow the access; or "+registered,
		)
	}
	grant, err := f.Client.Exchange(context.WithoutCancel(ctx), got.code, redirect.String(), c.verifier)
	return grant, f.describe(err, reading{
		unknown: "the issuer does not know the code, or no longer",
		hint:    registered,
		lost:    "run ticketproxy login " + f.Account + " again",
	})
}

// redirect returns the redirect URI, with port 0 when any will do. Its default
// names the loopback address and not localhost (RFC 8252, section 8.3).
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

// free returns the address with a port at which nobody listens.
func (f *Flow) free(ctx context.Context, address string) (string, error) {
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

// onLoopback reports whether a host name is this machine's alone.
func onLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// pasted asks for the address at which the browser ended up, where nobody
// listened. A person at a terminal may try again.
func (f *Flow) pasted(ctx context.Context, c *consent) (answer, error) {
	person := f.prompt()
	for {
		line, err := person.ask(ctx, "The address at which the browser ended up, pasted (it is not shown): ", true)
		if err != nil {
			return answer{}, f.unanswered(ctx, "address", err)
		}
		if u, err := url.Parse(strings.TrimSpace(line)); err == nil {
			if got, ours := c.read(u.Query()); ours {
				return got, nil
			}
		}
		wrong := hint.With(
			errors.New("that address is no answer to this login: it lacks the code, or has the state of another one"),
			"copy the whole address; it begins with "+c.redirect.String(),
		)
		if person.terminal == nil {
			return answer{}, wrong
		}
		fmt.Fprintf(f.Stderr, "%v\nhint: %s\n", wrong, hint.Of(wrong))
	}
}
