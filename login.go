package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"ticketproxy/config"
)

// login obtains the first grant of an account from a person, and stores it. A
// running instance adopts it when it next looks at the state.
func login(ctx context.Context, p *process, args []string) error {
	o, err := loginFlags(p, args)
	if err != nil {
		return err
	}
	c, err := p.configure()
	if err != nil {
		return err
	}
	u, err := p.owner(c, o.account)
	if err != nil {
		return err
	}
	if c.State.Kind == "memory" {
		return usage(errors.New("the state is in memory, which would forget the grant at once"), "set TICKETPROXY_STATE to file: and a directory that lasts, as the running instance has it")
	}
	d := &desk{
		options: o,
		process: p,
		account: u.Name,
		client:  client(u, p.egress(), p.dial),
		seed:    seed(u),
	}
	obtain, err := d.way()
	if err != nil {
		return err
	}
	// Before the issuer is asked: what it gives cannot be given back.
	state, err := openState(c.State)
	if err != nil {
		return err
	}
	d.store = state.account(u.Name)
	return errors.Join(d.serve(ctx, obtain), state.close())
}

// loginOptions are what login's command line says.
type loginOptions struct {
	account      string // "" for the only one
	given        []string
	callbackPort int
	redirectURI  string
	noBrowser    bool
	username     string
	tokenFile    string
	timeout      time.Duration
}

// loginFlags reads login's command line; flags may stand on both sides of the
// account.
func loginFlags(p *process, args []string) (loginOptions, error) {
	var o loginOptions
	flags := flag.NewFlagSet("login", flag.ContinueOnError)
	flags.SetOutput(p.stderr)
	flags.Usage = func() {
		fmt.Fprint(p.stderr, "usage: ticketproxy login [ACCOUNT]\n\n")
		flags.PrintDefaults()
	}
	flags.IntVar(&o.callbackPort, "callback-port", 0, "`port` on 127.0.0.1 to which the issuer sends the browser back (default: a free one)")
	flags.StringVar(&o.redirectURI, "redirect-uri", "", "the whole redirect `URI`, as it is registered for the client: http://localhost:1234/callback")
	flags.BoolVar(&o.noBrowser, "no-browser", false, "open no browser: ask for the address at which one on another machine ends up")
	flags.StringVar(&o.username, "username", "", "the user's `name`, where the issuer takes name and password")
	flags.StringVar(&o.tokenFile, "refresh-token-file", "", "`file` that holds a refresh token")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long to wait for a person, and for the state")
	err := flags.Parse(args)
	if rest := flags.Args(); err == nil && len(rest) > 0 {
		o.account = rest[0]
		err = flags.Parse(rest[1:])
	}
	const hint = "ticketproxy login --help shows its flags"
	switch {
	case errors.Is(err, flag.ErrHelp):
		return o, errHelp
	case err != nil:
		return o, usage(err, hint)
	case flags.NArg() > 0:
		return o, usage(fmt.Errorf("login takes one account, and %q was given too", flags.Arg(0)), hint)
	case o.timeout <= 0:
		return o, usage(errors.New("--timeout is not longer than zero"), "write a duration like 5m")
	case o.callbackPort < 0 || o.callbackPort > 65535:
		return o, usage(fmt.Errorf("--callback-port %d is no port", o.callbackPort), "name a port number, like 8400")
	case o.callbackPort != 0 && o.redirectURI != "":
		return o, usage(errors.New("--callback-port and --redirect-uri both say the port"), "leave out --callback-port")
	}
	flags.Visit(func(f *flag.Flag) { o.given = append(o.given, f.Name) })
	return o, nil
}

// owner returns the upstream that owns the account which is to be logged in.
func (p *process) owner(c config.Config, name string) (config.Upstream, error) {
	var known []string
	owners := map[string]config.Upstream{}
	for _, u := range c.Upstreams {
		if u.OwnsAccount() {
			known = append(known, u.Name)
			owners[u.Name] = u
		}
	}
	if name == "" {
		if len(known) == 1 {
			return owners[known[0]], nil
		}
		return config.Upstream{}, usage(errors.New("there is more than one account"), "name it: ticketproxy login "+strings.Join(known, ", or ticketproxy login "))
	}
	if u, ok := owners[name]; ok {
		return u, nil
	}
	for _, u := range c.Upstreams {
		if u.Name == name {
			fmt.Fprintf(p.stderr, "%s uses the account of %s: logging in %s\n", name, u.Account, u.Account)
			return owners[u.Account], nil
		}
	}
	return config.Upstream{}, usage(fmt.Errorf("%q is not an account", name), "the accounts are: "+strings.Join(known, ", "))
}
