package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ticketproxy/hint"
	"ticketproxy/sandbox"
)

// sandboxListen is where the sandbox's first vendor listens by default.
const sandboxListen = "127.0.0.1:9100"

// faultsHelp ends the help of sandbox.
const faultsHelp = `
ticketproxy sandbox env VENDOR prints the variables for one vendor of a running sandbox:

  eval "$(ticketproxy sandbox env ticketpark)" && ticketproxy serve

Each vendor has switches for faults, which replace those before. A number says how many
of the next token requests a fault affects; -1 is all of them:

  curl -d '{"throttle":1,"retry_after":20}' http://127.0.0.1:9102/_sandbox/faults
  curl -d '{"unavailable":-1}' http://127.0.0.1:9102/_sandbox/faults
  curl -d '{"drop_after_commit":1}' http://127.0.0.1:9102/_sandbox/faults
  curl -d '{"half_body":1}' http://127.0.0.1:9102/_sandbox/faults
  curl -d '{"slow_before_commit":"5s","slow_after_commit":"5s"}' http://127.0.0.1:9102/_sandbox/faults
  curl -d '{"api_unauthorized":3}' http://127.0.0.1:9102/_sandbox/faults
  curl -d '{}' http://127.0.0.1:9102/_sandbox/faults
  curl -d '{"what":"access"}' http://127.0.0.1:9102/_sandbox/revoke
  curl -d '{"what":"all"}' http://127.0.0.1:9102/_sandbox/revoke
  curl http://127.0.0.1:9102/_sandbox/
`

// Sandbox runs the built-in issuers and APIs until ctx is done.
func Sandbox(ctx context.Context, env *Env, args []string) error {
	if len(args) > 0 && args[0] == "env" {
		return sandboxEnv(ctx, env, args[1:])
	}
	var o sandbox.Options
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	flags.SetOutput(env.Stderr)
	flags.Usage = func() {
		fmt.Fprint(env.Stderr, "usage: ticketproxy sandbox\n\n")
		flags.PrintDefaults()
		fmt.Fprint(env.Stderr, faultsHelp)
	}
	listen := flags.String("listen", sandboxListen, "`address` of the first vendor; the others take the next ports")
	flags.DurationVar(&o.AccessLifetime, "access-lifetime", 0, "lifetime of access tokens (default: each vendor's)")
	flags.BoolVar(&o.Rotate, "rotate", false, "let socialboards rotate its refresh tokens too")
	flags.BoolVar(&o.ReuseDetection, "reuse-detection", false,
		"revoke everything when a spent refresh token comes again")
	flags.DurationVar(&o.Grace, "grace", 0, "how long a spent refresh token still works")
	if err := parseFlags(env, flags, args); err != nil {
		return err
	}
	if o.AccessLifetime < 0 || o.Grace < 0 {
		return hint.Usage(
			errors.New("--access-lifetime and --grace are not shorter than zero"),
			"write a duration like 30s",
		)
	}
	host, first, err := sandboxAddress(*listen)
	if err != nil {
		return err
	}
	s := sandbox.New(o)
	g, ctx := errgroup.WithContext(ctx)
	for i, provider := range s.Providers() {
		at := first
		if first != 0 {
			at += i
		}
		origin, err := env.serveProvider(ctx, g, provider, net.JoinHostPort(host, fmt.Sprint(at)))
		if err != nil {
			return err
		}
		fmt.Fprintf(env.Stdout, "# %s at %s, faults at %s/_sandbox/\n", provider.Name, origin, origin)
		if provider.Username != "" {
			fmt.Fprintf(env.Stdout, "# login with user name %s, password %s\n", provider.Username, provider.Password)
		}
		for _, line := range settings(provider, origin, provider.Seed()) {
			fmt.Fprintln(env.Stdout, line)
		}
		fmt.Fprintln(env.Stdout)
	}
	return g.Wait()
}

// sandboxAddress parses the address of the sandbox's first vendor.
func sandboxAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", 0, hint.Usage(
			fmt.Errorf("the sandbox cannot listen on %q", address),
			"name a loopback address, like "+sandboxListen,
		)
	}
	if port, err = net.LookupPort("tcp", text); err != nil {
		return "", 0, hint.Usage(
			fmt.Errorf("the sandbox cannot listen on %q", address),
			"name a port number, like "+sandboxListen,
		)
	}
	return host, port, nil
}

// serveProvider serves a provider of the sandbox until ctx is done, and returns its origin.
func (e *Env) serveProvider(
	ctx context.Context, g *errgroup.Group, provider *sandbox.Provider, address string,
) (string, error) {
	sockets, err := e.Network.Bind(ctx, address)
	if err != nil {
		return "", fmt.Errorf("listening for the sandbox: %w", err)
	}
	server := &http.Server{Handler: provider, ReadHeaderTimeout: 10 * time.Second}
	for _, socket := range sockets {
		g.Go(func() error {
			if err := server.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	return "http://" + sockets[0].Addr().String(), nil
}

// settings returns the variables that configure a provider of the sandbox as the only
// upstream.
func settings(provider *sandbox.Provider, origin, seed string) []string {
	lines := []string{
		"TICKETPROXY_PROVIDER=" + provider.Name,
		"TICKETPROXY_UPSTREAM_URL=" + origin,
		"TICKETPROXY_TOKEN_URL=" + origin + provider.TokenPath,
		"TICKETPROXY_CLIENT_ID=" + provider.ClientID,
	}
	if provider.AuthorizePath != "" {
		lines = append(lines, "TICKETPROXY_AUTHORIZE_URL="+origin+provider.AuthorizePath)
	}
	if provider.ClientSecret != "" {
		lines = append(lines, "TICKETPROXY_CLIENT_SECRET="+provider.ClientSecret)
	}
	if seed != "" {
		lines = append(lines, "TICKETPROXY_REFRESH_TOKEN="+seed)
	}
	return lines
}

// named adds the name of one of several upstreams to the variables of a single upstream.
func named(name string, lines []string) []string {
	var all []string
	for _, line := range lines {
		all = append(all, "TICKETPROXY_"+strings.ToUpper(name)+"_"+strings.TrimPrefix(line, "TICKETPROXY_"))
	}
	return all
}
