package login

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"ticketproxy/hint"
)

// listen listens at a redirect URI on loopback. If its port is 0, listen sets it to the
// chosen one. For localhost it must get both addresses: a program that has the other one
// could receive the code.
func (f *Flow) listen(ctx context.Context, redirect *url.URL) ([]net.Listener, error) {
	address := net.JoinHostPort(redirect.Hostname(), cmp.Or(redirect.Port(), "80"))
	sockets, err := f.Listen(ctx, address)
	if err != nil {
		return nil, hint.With(
			fmt.Errorf("listening for the browser: %w", err),
			"choose another port with --callback-port, or the redirect URI with --redirect-uri",
		)
	}
	if redirect.Port() == "0" {
		redirect.Host = sockets[0].Addr().String()
	}
	return sockets, nil
}

// holdResponse is how long after the start of the browser a response is not yet used:
// another user's program may have opened the address first and responded at once.
const holdResponse = 5 * time.Second

// errTwoBrowsers ends a login whose address two browsers opened.
var errTwoBrowsers = errors.New("two browsers opened the address of this login")

// waitForCallback opens the browser and waits for its authorization response at one of
// the sockets. It closes the sockets.
func (f *Flow) waitForCallback(
	ctx context.Context, c *authRequest, sockets []net.Listener, address string,
) (authResponse, error) {
	got, twice := make(chan authResponse, 1), make(chan struct{}, 1)
	server := &http.Server{
		Handler:           c.handler(address, got, twice),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
	}
	server.SetKeepAlivesEnabled(false)
	served := make(chan error, len(sockets))
	for _, s := range sockets {
		go func() { served <- server.Serve(s) }()
	}
	defer func() {
		// The browser is still loading its last page.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		server.Shutdown(ctx)
		server.Close()
	}()
	held := time.After(holdResponse)
	if err := f.Browse(c.startURL()); err != nil {
		fmt.Fprintf(f.Stderr, "No browser could be opened (%v): open the address yourself.\n", err)
	}
	var arrived authResponse
	responses, release := (<-chan authResponse)(got), (<-chan time.Time)(nil)
	for {
		select {
		case arrived = <-responses:
			responses, release = nil, held
		case <-release:
			return arrived, nil
		case <-twice:
			return authResponse{}, hint.With(errTwoBrowsers,
				"another user of this machine may have opened it: run ticketproxy login "+f.Account+" again, in one browser")
		case err := <-served:
			return authResponse{}, fmt.Errorf("waiting for the browser: %w", err)
		case <-ctx.Done():
			advice := "where this machine has no browser, use --no-browser; if the issuer showed an error instead of asking, " +
				"check " + f.Names.Prefix + "CLIENT_ID, and that " + c.redirect.String() + " is registered for it; "
			return authResponse{}, fmt.Errorf("waiting for the browser: %w", f.waitError(ctx, advice))
		}
	}
}

// handler redirects the browser to the issuer's address, and sends its authorization
// response to got. It sends to twice when another browser opens the start address. Any
// web page open on this machine can send requests, too: the handler refuses those
// without the state and the cookie, and goes on waiting.
func (c *authRequest) handler(address string, got chan<- authResponse, twice chan<- struct{}) http.Handler {
	path := cmp.Or(c.redirect.EscapedPath(), "/")
	var opened atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !onLoopback(strings.Trim(host, "[]")) {
			writePage(w, http.StatusMisdirectedRequest, "This name is not served here.")
			return
		}
		if r.URL.Path != c.start && r.URL.EscapedPath() != path {
			writePage(w, http.StatusNotFound, "There is nothing here.")
			return
		}
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			writePage(w, http.StatusMethodNotAllowed, "This is only for a browser that comes back from a login.")
			return
		}
		if r.URL.Path == c.start {
			if opened.Swap(true) && !c.hasCookie(r) {
				trySend(twice, struct{}{})
				writePage(w, http.StatusForbidden,
					"Another browser has opened this address before. The login is over; the terminal says more.")
				return
			}
			http.SetCookie(w, &c.cookie)
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Referrer-Policy", "no-referrer")
			w.Header().Set("Location", address)
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		a, ok := c.parseResponse(r.URL.Query())
		if !ok || !c.hasCookie(r) {
			writePage(w, http.StatusBadRequest, "This is no answer to the login that is under way.")
			return
		}
		trySend(got, a)
		if a.err != nil {
			writePage(w, http.StatusOK, "The login was refused. The terminal says more.")
			return
		}
		writePage(w, http.StatusOK,
			"The answer has arrived. The terminal says how the login ended; this window can be closed.")
	})
}

// trySend sends a value unless one is waiting already, as when a page is reloaded.
func trySend[T any](c chan<- T, value T) {
	select {
	case c <- value:
	default:
	}
}

// writePage writes a page with a fixed text and nothing from the request. Its headers
// keep the address, which holds the code, from caches and other sites.
func writePage(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	const head = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>ticketproxy</title>\n"
	io.WriteString(w, head+"<p>"+text+"</p>\n</html>\n")
}
