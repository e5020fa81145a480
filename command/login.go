package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/login"
	"ticketproxy/server"
)

// Login obtains the first grant of an account from a person, and stores it. A running
// instance uses it as soon as it reads the state again.
func Login(ctx context.Context, env *Env, args []string) error {
	name, o, err := loginFlags(env, args)
	if err != nil {
		return err
	}
	c, err := env.configure()
	if err != nil {
		return err
	}
	if c.Reader() {
		return hint.Usage(
			errors.New("a reader cannot log in: it never has a refresh token"),
			"run ticketproxy login where a refresher of "+c.State.String()+" is configured",
		)
	}
	u, err := env.accountOwner(c, "login", name)
	if err != nil {
		return err
	}
	if u.ClientCredentials() {
		return hint.Usage(
			errors.New("account "+u.Name+" needs no login: its grant is client_credentials"),
			"run ticketproxy serve",
		)
	}
	if c.State.Kind == "memory" {
		return hint.Usage(
			errors.New("the state is in memory, which would forget the grant at once"),
			"set TICKETPROXY_STATE to file: and a directory that lasts, as the running instance has it",
		)
	}
	account, err := server.OpenAccount(c, u, env.Network)
	if err != nil {
		return err
	}
	flow := &login.Flow{
		Account: u.Name,
		Client:  account.Client,
		Seed:    account.Seed,
		Store:   account.Store,
		Probe:   account.Probe,
		Warning: account.Warning,
		Options: o,
		Names:   login.Names{Prefix: u.EnvPrefix, Endpoint: server.EndpointVariable(u), Client: server.ClientHint(u)},
		Stdin:   env.Stdin,
		Stdout:  env.Stdout,
		Stderr:  env.Stderr,
		Listen:  env.Network.Bind,
		Browse:  env.browse(),
	}
	if err := errors.Join(flow.Run(ctx), account.Close()); err != nil {
		return err
	}
	env.awaitTakeUp(ctx, u.Name)
	return nil
}

// takeUp is how long login gives a running instance to take up what was stored. An instance looks at
// its state every second.
const takeUp = 2 * time.Second

// awaitTakeUp waits until no running instance calls the account dead, so that wait may follow login.
// Where no instance can be asked, it waits for nothing.
func (e *Env) awaitTakeUp(ctx context.Context, account string) {
	instance, err := e.adminClient()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, takeUp)
	defer cancel()
	for instance.callsDead(ctx, account) {
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// callsDead reports whether the instance says that an account needs a person.
func (a *adminClient) callsDead(ctx context.Context, account string) bool {
	status, _, err := a.status(ctx)
	if err != nil {
		return false
	}
	for _, dead := range status.Dead() {
		if dead.Account == account {
			return true
		}
	}
	return false
}

// browse returns the function that opens a web page for the person. The browser does not get
// the TICKETPROXY_ variables, which hold secrets.
func (e *Env) browse() func(address string) error {
	if e.Browse != nil {
		return e.Browse
	}
	return login.Browser(slices.DeleteFunc(slices.Clone(e.Environ), func(pair string) bool {
		return strings.HasPrefix(pair, config.Prefix)
	}))
}

// loginFlags parses login's command line. Flags may come before and after the account.
func loginFlags(env *Env, args []string) (account string, o login.Options, err error) {
	flags := flag.NewFlagSet("login", flag.ContinueOnError)
	flags.SetOutput(env.Stderr)
	flags.Usage = func() {
		fmt.Fprint(env.Stderr, "usage: ticketproxy login [ACCOUNT]\n\n")
		flags.PrintDefaults()
	}
	flags.IntVar(&o.CallbackPort, "callback-port", 0,
		"`port` on 127.0.0.1 to which the issuer sends the browser back (default: a free one)")
	flags.StringVar(&o.RedirectURI, "redirect-uri", "",
		"the whole redirect `URI`, as it is registered for the client: http://localhost:1234/callback")
	flags.BoolVar(&o.NoBrowser, "no-browser", false,
		"open no browser: show a code to enter on another machine where the issuer has such codes, "+
			"or else ask for the address at which a browser there ends up")
	flags.StringVar(&o.Username, "username", "", "the user's `name`, where the issuer takes name and password")
	flags.StringVar(&o.TokenFile, "refresh-token-file", "", "`file` that holds a refresh token")
	flags.DurationVar(&o.Timeout, "timeout", 5*time.Minute, "how long to wait for a person, and for the state")
	err = flags.Parse(args)
	if rest := flags.Args(); err == nil && len(rest) > 0 {
		account = rest[0]
		err = flags.Parse(rest[1:])
	}
	const advice = "ticketproxy login --help shows its flags"
	switch {
	case errors.Is(err, flag.ErrHelp):
		return account, o, errHelp
	case err != nil:
		return account, o, hint.Usage(err, advice)
	case flags.NArg() > 0:
		return account, o, hint.Usage(fmt.Errorf("login takes one account, and %q was given too", flags.Arg(0)), advice)
	case o.Timeout <= 0:
		return account, o, hint.Usage(errors.New("--timeout is not longer than zero"), "write a duration like 5m")
	case o.CallbackPort < 0 || o.CallbackPort > 65535:
		return account, o, hint.Usage(
			fmt.Errorf("--callback-port %d is no port", o.CallbackPort),
			"name a port number, like 8400",
		)
	case o.CallbackPort != 0 && o.RedirectURI != "":
		return account, o, hint.Usage(
			errors.New("--callback-port and --redirect-uri both say the port"),
			"leave out --callback-port",
		)
	}
	flags.Visit(func(f *flag.Flag) { o.Given = append(o.Given, f.Name) })
	return account, o, nil
}

// accountOwner returns the upstream that owns the account that was named to a verb. The name may be
// empty if there is only one account.
func (e *Env) accountOwner(c config.Config, verb, name string) (config.Upstream, error) {
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
		return config.Upstream{}, hint.Usage(
			errors.New("there is more than one account"),
			"name it: ticketproxy "+verb+" "+strings.Join(known, ", or ticketproxy "+verb+" "),
		)
	}
	if u, ok := owners[name]; ok {
		return u, nil
	}
	for _, u := range c.Upstreams {
		if u.Name == name {
			fmt.Fprintf(e.Stderr, "%s uses the account of %s\n", name, u.Account)
			return owners[u.Account], nil
		}
	}
	return config.Upstream{}, hint.Usage(
		fmt.Errorf("%q is not an account", name),
		"the accounts are: "+strings.Join(known, ", "),
	)
}
