package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ticketproxy/config"
	"ticketproxy/process"
	"ticketproxy/sandbox"
	"ticketproxy/secret"
	"ticketproxy/server"
	"ticketproxy/tokens/dialect"
	"ticketproxy/tokens/issuer"
)

// A sample is a request that the demo sends.
type sample struct{ method, path, body string }

// request makes the sample's request at an origin.
func (s sample) request(ctx context.Context, origin string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, s.method, origin+s.path, strings.NewReader(s.body))
	if err == nil && s.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, err
}

// samples returns one documented request to each API, by provider.
func samples() map[string]sample {
	return map[string]sample{
		"socialboards": {http.MethodPost, "/tickets/list", `{"status":"open","take":2}`},
		"openticket":   {http.MethodGet, "/users/me", ""},
		"ticketpark":   {http.MethodGet, "/events/?page=0&maxResults=2", ""},
	}
}

// Demo runs the proxy against the sandbox, on loopback only.
func Demo(ctx context.Context, env *Env, args []string) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(env.Stderr)
	once := flags.Bool("once", false, "end after one request to each API")
	if err := parseFlags(env, flags, args); err != nil {
		return err
	}
	env.Signals.Drains()
	dir, err := os.MkdirTemp("", "ticketproxy-demo-")
	if err != nil {
		return fmt.Errorf("making a directory for the state: %w", err)
	}
	defer os.RemoveAll(dir)

	g, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	environ := []string{
		"TICKETPROXY_STATE=file:" + filepath.Join(dir, "state"),
		"TICKETPROXY_ADMIN_LISTEN=" + freeAddress(ctx, env.Network, "127.0.0.1:9090"),
	}
	if *once {
		environ = append(environ, "TICKETPROXY_LOG_LEVEL=warn")
	}
	var names []string
	vendors := sandbox.New(sandbox.Options{Rotate: true, ReuseDetection: true})
	for i, provider := range []*sandbox.Provider{vendors.SocialBoards, vendors.OpenTicket, vendors.Ticketpark} {
		origin, err := env.serveProvider(ctx, g, provider, "127.0.0.1:0")
		if err != nil {
			return err
		}
		seed, err := firstGrant(ctx, provider, origin)
		if err != nil {
			return fmt.Errorf("obtaining a grant of %s: %w", provider.Name, err)
		}
		names = append(names, provider.Name)
		listen := "TICKETPROXY_LISTEN=" + freeAddress(ctx, env.Network, fmt.Sprintf("127.0.0.1:%d", 8080+i))
		lines := append(settings(provider, origin, seed.Reveal()), listen)
		environ = append(environ, named(provider.Name, lines)...)
	}
	environ = append(environ, "TICKETPROXY_UPSTREAMS="+strings.Join(names, ","))
	fmt.Fprint(env.Stdout, "Three issuers and three APIs of the sandbox are up, "+
		"and ticketproxy stands in front of them.\n\n")

	inner := *env
	inner.Environ = environ
	files, err := config.Open(inner.environment())
	if err != nil {
		return err
	}
	s, err := inner.server(files, new(process.Notifier))
	if err != nil {
		return err
	}
	var failed error
	g.Go(func() error {
		defer stop()
		return s.Run(ctx, func(apps []net.Addr) {
			g.Go(func() error {
				for i, name := range names {
					failed = errors.Join(failed, env.show(ctx, name, apps[i].String(), samples()[name]))
				}
				if *once || failed != nil {
					stop()
				} else {
					env.endOfDemo(&inner)
				}
				return nil
			})
		})
	})
	return errors.Join(g.Wait(), failed)
}

// endOfDemo says what a person can do while the demo goes on.
func (e *Env) endOfDemo(inner *Env) {
	fmt.Fprint(e.Stdout, "Try these lines in another terminal; Ctrl-C ends the demo.\n")
	if admin, err := inner.adminClient(); err == nil {
		fmt.Fprintf(e.Stdout, "The status page is at %s\n", admin.page())
	}
}

// show sends one request through the proxy, as an app would, and prints it with its answer.
func (e *Env) show(ctx context.Context, name, address string, s sample) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	line := "curl 'http://" + address + s.path + "'"
	if s.body != "" {
		line = "curl -H 'Content-Type: application/json' -d '" + s.body + "' 'http://" + address + s.path + "'"
	}
	req, err := s.request(ctx, "http://"+address)
	if err != nil {
		return err
	}
	res, err := new(http.Transport).RoundTrip(req)
	if err != nil {
		return fmt.Errorf("asking %s: %w", name, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", name, err)
	}
	fmt.Fprintf(e.Stdout, "%s\n  $ %s\n  %s %s\n  %s\n\n", name, line, res.Proto, res.Status, shorten(body))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s", name, res.Status)
	}
	return nil
}

// shorten shortens a body to a few lines.
func shorten(body []byte) string {
	var value any
	if json.Unmarshal(body, &value) == nil {
		body, _ = json.Marshal(value)
	}
	if text := []rune(string(body)); len(text) > 240 {
		return string(text[:240]) + "…"
	}
	return string(body)
}

// freeAddress returns the address if it is free, otherwise one with a free port.
func freeAddress(ctx context.Context, network server.Network, address string) string {
	for _, a := range []string{address, "127.0.0.1:0"} {
		if sockets, err := network.Bind(ctx, a); err == nil {
			defer sockets[0].Close()
			return sockets[0].Addr().String()
		}
	}
	return address
}

// firstGrant obtains a refresh token by each vendor's method: with a password, by consent
// in a browser, or from a settings page.
func firstGrant(ctx context.Context, provider *sandbox.Provider, origin string) (secret.String, error) {
	d, _ := dialect.Lookup(provider.Name)
	d.TokenURL, d.AuthorizeURL = origin+provider.TokenPath, origin+provider.AuthorizePath
	client := issuer.New(issuer.Config{
		Dialect:      d,
		ClientID:     provider.ClientID,
		ClientSecret: secret.New(provider.ClientSecret),
	})
	switch {
	case provider.Password != "":
		grant, err := client.Password(ctx, provider.Username, secret.New(provider.Password))
		return grant.RefreshToken, err
	case provider.AuthorizePath != "":
		const callback = "http://127.0.0.1/callback"
		address := client.AuthorizeURL(callback, "demo", "") + "&approve=1"
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return secret.String{}, err
		}
		res, err := new(http.Transport).RoundTrip(req)
		if err != nil {
			return secret.String{}, err
		}
		res.Body.Close()
		back, err := url.Parse(res.Header.Get("Location"))
		if err != nil || back.Query().Get("state") != "demo" {
			return secret.String{}, fmt.Errorf("consent was answered with %s", res.Status)
		}
		grant, err := client.Exchange(ctx, secret.New(back.Query().Get("code")), callback, secret.String{})
		return grant.RefreshToken, err
	}
	return secret.New(provider.Seed()), nil
}
