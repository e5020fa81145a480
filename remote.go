package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"text/tabwriter"
	"time"

	"ticketproxy/admin"
	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/loopback"
)

// A remote is the admin listener of a running instance.
type remote struct {
	address string
	client  *http.Client
}

// remote returns the instance that the environment's ADMIN_LISTEN names.
func (p *process) remote() (*remote, error) {
	address, err := config.ParseAdminListen(p.environment())
	if err != nil {
		return nil, err
	}
	if address == "" {
		return nil, usage(errors.New("the admin listener is off"), "set TICKETPROXY_ADMIN_LISTEN to the running instance's")
	}
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		address = net.JoinHostPort("127.0.0.1", port) // an image from scratch has no /etc/hosts
		if ip.To4() == nil {
			address = net.JoinHostPort("::1", port)
		}
	}
	dial := p.dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	transport := &http.Transport{DialContext: loopback.Dial(dial), DisableKeepAlives: true}
	return &remote{address, &http.Client{Transport: transport, Timeout: 10 * time.Second}}, nil
}

// ask sends one request; its error has a hint.
func (r *remote) ask(ctx context.Context, method, path string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.address+path, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := r.client.Do(req)
	if err != nil {
		return 0, nil, hint.With(fmt.Errorf("asking the instance at %s: %w", r.address, err),
			"start it with ticketproxy serve, or set TICKETPROXY_ADMIN_LISTEN to its admin listener")
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, body, err
}

// status prints each account of a running instance.
func status(ctx context.Context, p *process, args []string) error {
	if err := noArguments("status", args); err != nil {
		return err
	}
	r, err := p.remote()
	if err != nil {
		return err
	}
	code, body, err := r.ask(ctx, http.MethodGet, "/status")
	if err != nil {
		return err
	}
	var s admin.Status
	if code != http.StatusOK || json.Unmarshal(body, &s) != nil {
		return fmt.Errorf("asking the instance at %s: it answered %d, which is not a status", r.address, code)
	}
	usable := true
	now := time.Now()
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACCOUNT\tSTATE\tGENERATION\tTOKEN EXPIRES\tREFRESH TOKEN EXPIRES\tNEXT REFRESH")
	for _, a := range s.Accounts {
		usable = usable && a.Usable
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", printable(a.Account), printable(a.State), a.Generation, admin.Until(now, a.Expiry), admin.Until(now, a.RefreshExpiry), admin.Until(now, a.NextRefresh))
	}
	w.Flush()
	for _, warning := range s.Warnings {
		fmt.Fprintf(p.stdout, "\nwarning: %s\n", printable(warning))
	}
	for _, a := range s.Accounts {
		if a.Error != "" {
			fmt.Fprintf(p.stdout, "\n%s: %s\n", printable(a.Account), printable(a.Error))
		}
		if a.Hint != "" {
			fmt.Fprintf(p.stdout, "hint: %s\n", printable(a.Hint))
		}
		for _, warning := range a.Warnings {
			fmt.Fprintf(p.stdout, "\n%s: %s\n", printable(a.Account), printable(warning))
		}
	}
	if !usable {
		return errSaid
	}
	return nil
}

// wait blocks until a running instance is ready.
func wait(ctx context.Context, p *process, args []string) error {
	flags := flag.NewFlagSet("wait", flag.ContinueOnError)
	flags.SetOutput(p.stderr)
	timeout := flags.Duration("timeout", time.Minute, "how long to wait")
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	r, err := p.remote()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	last := errors.New("it was not asked yet")
	for {
		code, body, err := r.ask(ctx, http.MethodGet, "/readyz?verbose")
		switch {
		case err == nil && code == http.StatusOK:
			return nil
		case err == nil:
			last = fmt.Errorf("it says: %s", body)
		case ctx.Err() == nil:
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the instance at %s: not ready after %v: %w", r.address, *timeout, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// shutdown asks a running instance to drain and stop.
func shutdown(ctx context.Context, p *process, args []string) error {
	if err := noArguments("shutdown", args); err != nil {
		return err
	}
	r, err := p.remote()
	if err != nil {
		return err
	}
	code, body, err := r.ask(ctx, http.MethodPost, "/quit")
	if err != nil {
		return err
	}
	if code != http.StatusAccepted {
		return fmt.Errorf("asking the instance at %s to stop: it answered %d: %s", r.address, code, body)
	}
	return nil
}
