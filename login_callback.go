package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// listenFor listens where a redirect URI on loopback points, and puts the port
// into it if it was to be any. Of localhost, no other program may have either
// address: it could receive the code.
func (p *process) listenFor(ctx context.Context, redirect *url.URL) ([]net.Listener, error) {
	address := net.JoinHostPort(redirect.Hostname(), cmp.Or(redirect.Port(), "80"))
	sockets, err := p.bind(ctx, address)
	if err != nil {
		return nil, &loginError{fmt.Errorf("listening for the browser: %w", err), "choose another port with --callback-port, or the redirect URI with --redirect-uri"}
	}
	if redirect.Port() == "0" {
		redirect.Host = sockets[0].Addr().String()
	}
	return sockets, nil
}

// called opens the browser and waits until it comes back to one of the
// sockets, which it closes.
func (d *desk) called(ctx context.Context, c *consent, sockets []net.Listener, address string) (answer, error) {
	got := make(chan answer, 1)
	server := &http.Server{Handler: c.handler(got), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
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
	if err := d.process.browse(address); err != nil {
		fmt.Fprintf(d.process.stderr, "No browser could be opened (%v): open the address yourself.\n", err)
	}
	select {
	case a := <-got:
		return a, nil
	case err := <-served:
		return answer{}, fmt.Errorf("waiting for the browser: %w", err)
	case <-ctx.Done():
		return answer{}, fmt.Errorf("waiting for the browser: %w", d.gone(ctx,
			"if the issuer showed an error instead of asking, check CLIENT_ID of account "+d.account+", and that "+c.redirect.String()+" is registered for it; "))
	}
}

// handler receives the browser. Any page that is open on this machine can call
// it too: what does not bear our state is refused, and waited past.
func (c *consent) handler(got chan<- answer) http.Handler {
	path := cmp.Or(c.redirect.EscapedPath(), "/")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !onLoopback(strings.Trim(host, "[]")) {
			say(w, http.StatusMisdirectedRequest, "This name is not served here.")
			return
		}
		if r.URL.EscapedPath() != path {
			say(w, http.StatusNotFound, "There is nothing here.")
			return
		}
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			say(w, http.StatusMethodNotAllowed, "This is only for a browser that comes back from a login.")
			return
		}
		a, ours := c.read(r.URL.Query())
		if !ours {
			say(w, http.StatusBadRequest, "This is no answer to the login that is under way.")
			return
		}
		select {
		case got <- a:
		default: // the browser has loaded the page again
		}
		if a.err != nil {
			say(w, http.StatusOK, "The login was refused. The terminal says more.")
			return
		}
		say(w, http.StatusOK, "The answer has arrived. The terminal says how the login ended; this window can be closed.")
	})
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
	io.WriteString(w, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>ticketproxy</title>\n<p>"+text+"</p>\n</html>\n")
}
