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

// listen listens where a redirect URI on loopback points, and puts the port into
// it if it was to be any. Of localhost, no other program may have either address:
// it could receive the code.
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

// holdAnswer is how long after the browser was started an answer is held: another
// user's program may have opened the address first, and have answered at once.
const holdAnswer = 5 * time.Second

// errTwoBrowsers ends a login whose address was opened by another browser, too.
var errTwoBrowsers = errors.New("two browsers opened the address of this login")

// called opens the browser and waits until it comes back to one of the
// sockets, which it closes.
func (f *Flow) called(ctx context.Context, c *consent, sockets []net.Listener, address string) (answer, error) {
	got, twice := make(chan answer, 1), make(chan struct{}, 1)
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
		// The browser's last page is under way.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		server.Shutdown(ctx)
		server.Close()
	}()
	held := time.After(holdAnswer)
	if err := f.Browse(c.startURL()); err != nil {
		fmt.Fprintf(f.Stderr, "No browser could be opened (%v): open the address yourself.\n", err)
	}
	var arrived answer
	answers, release := (<-chan answer)(got), (<-chan time.Time)(nil)
	for {
		select {
		case arrived = <-answers:
			answers, release = nil, held
		case <-release:
			return arrived, nil
		case <-twice:
			return answer{}, hint.With(errTwoBrowsers,
				"another user of this machine may have opened it: run ticketproxy login "+f.Account+" again, in one browser")
		case err := <-served:
			return answer{}, fmt.Errorf("waiting for the browser: %w", err)
		case <-ctx.Done():
			return answer{}, fmt.Errorf("waiting for the browser: %w", f.gone(
				ctx,
				"if the issuer showed an error instead of asking, check CLIENT_ID of account "+f.Account+", and that "+
					""+c.redirect.String()+" is registered for it; ",
			))
		}
	}
}

// handler starts the browser on its way to the issuer's address, and receives it
// when it comes back. It tells twice when another browser was started. Any page
// that is open on this machine can call it too: what does not have our state and
// our cookie is refused, and waited past.
func (c *consent) handler(address string, got chan<- answer, twice chan<- struct{}) http.Handler {
	path := cmp.Or(c.redirect.EscapedPath(), "/")
	var opened atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !onLoopback(strings.Trim(host, "[]")) {
			say(w, http.StatusMisdirectedRequest, "This name is not served here.")
			return
		}
		if r.URL.Path != c.start && r.URL.EscapedPath() != path {
			say(w, http.StatusNotFound, "There is nothing here.")
			return
		}
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			say(w, http.StatusMethodNotAllowed, "This is only for a browser that comes back from a login.")
			return
		}
		if r.URL.Path == c.start {
			if opened.Swap(true) && !c.started(r) {
				tell(twice, struct{}{})
				say(
					w,
					http.StatusForbidden,
					"Another browser has opened this address before. The login is over; the terminal says more.",
				)
				return
			}
			http.SetCookie(w, &c.cookie)
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Referrer-Policy", "no-referrer")
			w.Header().Set("Location", address)
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		a, ours := c.read(r.URL.Query())
		if !ours || !c.started(r) {
			say(w, http.StatusBadRequest, "This is no answer to the login that is under way.")
			return
		}
		tell(got, a)
		if a.err != nil {
			say(w, http.StatusOK, "The login was refused. The terminal says more.")
			return
		}
		say(w, http.StatusOK, "The answer has arrived. The terminal says how the login ended; this window can be closed.")
	})
}

// tell sends a value unless one is waiting already, as after a page is loaded
// again.
func tell[T any](c chan<- T, value T) {
	select {
	case c <- value:
	default:
	}
}

// say writes a page that has nothing of the request in it, and takes the
// address, which holds the code, nowhere.
func say(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	io.WriteString(
		w,
		"<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>ticketproxy</title>\n<p>"+text+"</p>\n</html>\n",
	)
}
