package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"time"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/proxy/tokenendpoint"
	"ticketproxy/server"
)

// tokenOptions are the flags of the verb token.
type tokenOptions struct {
	least   time.Duration
	output  string
	url     string // of the instance to ask; empty for TOKEN_LISTEN
	keyFile string // what proves the caller
	caFile  string // with an https URL
}

// Token prints an access token. It asks the instance of --url, or a running one at
// TOKEN_LISTEN. Where none runs there, it goes through the state itself. Standard output gets
// nothing else.
func Token(ctx context.Context, env *Env, args []string) error {
	name, o, err := tokenFlags(env, args)
	if err != nil {
		return err
	}
	instance, err := env.tokenClient(o)
	if err != nil {
		return err
	}
	if o.url != "" && name != "" { // another instance may have accounts that are not configured here
		answer, err := instance.ask(ctx, name, o.least)
		return env.printToken(answer, o, instance.running(err))
	}
	// An app's environment may have no more than TOKEN_LISTEN, and then the instance knows the account.
	c, misconfigured := env.configure()
	account, u := name, config.Upstream{}
	if misconfigured == nil {
		if u, err = env.accountOwner(c, "token", name); err != nil {
			return err
		}
		account = u.Name
	}
	if instance != nil && account != "" {
		answer, err := instance.ask(ctx, account, o.least)
		if o.url != "" || !errors.Is(err, errNotRunning) {
			return env.printToken(answer, o, instance.running(err))
		}
	}
	if misconfigured != nil {
		if o.url != "" {
			return hint.Usage(errors.New("token --url needs the name of an account"), "ticketproxy token --url URL park")
		}
		return misconfigured
	}
	token, err := server.Token(ctx, c, u, env.Network, o.least)
	if err != nil {
		return env.printToken(tokenendpoint.Answer{}, o, err)
	}
	return env.printToken(tokenendpoint.NewAnswer(token, time.Now()), o, nil)
}

// printToken prints an answer, unless there is an error instead.
func (e *Env) printToken(a tokenendpoint.Answer, o tokenOptions, err error) error {
	if err != nil {
		return err
	}
	text := a.AccessToken
	switch o.output {
	case "header":
		text = "Authorization: Bearer " + a.AccessToken
	case "json":
		body, err := json.Marshal(a)
		if err != nil {
			return err
		}
		text = string(body)
	}
	if left := time.Duration(a.ExpiresIn) * time.Second; a.ExpiresAt != 0 && left+time.Second < o.least {
		fmt.Fprintf(e.Stderr, "ticketproxy: the token expires in %v, and --min asks for %v: no more can be had\n",
			left, o.least)
	}
	_, err = fmt.Fprintln(e.Stdout, text)
	return err
}

// tokenFlags parses the command line of token. Flags may come before and after the account.
func tokenFlags(env *Env, args []string) (account string, o tokenOptions, err error) {
	flags := flag.NewFlagSet("token", flag.ContinueOnError)
	flags.SetOutput(env.Stderr)
	flags.Usage = func() {
		fmt.Fprint(env.Stderr, "usage: ticketproxy token [ACCOUNT]\n\n"+
			"Asks a running instance at TICKETPROXY_TOKEN_LISTEN or --url. Where none runs at TICKETPROXY_TOKEN_LISTEN,\n"+
			"it goes through the state. An instance with TICKETPROXY_CALLERS_FILE asks who calls: give --key-file.\n\n")
		flags.PrintDefaults()
	}
	flags.DurationVar(&o.least, "min", time.Minute, "refresh first when less than this is left of the token")
	flags.StringVar(&o.output, "output", "token", "what to print: token, json, or header (for curl -H @-)")
	flags.StringVar(&o.url, "url", "", "the `URL` of the instance to ask, like https://tickets.example.com:8090")
	flags.StringVar(&o.keyFile, "key-file", "", "`file` with the key or the token that proves the caller")
	flags.StringVar(&o.caFile, "ca-file", "", "PEM `file` that the certificate of --url is checked with, too")
	err = flags.Parse(args)
	if rest := flags.Args(); err == nil && len(rest) > 0 {
		account = rest[0]
		err = flags.Parse(rest[1:])
	}
	const advice = "ticketproxy token --help shows its flags"
	switch {
	case errors.Is(err, flag.ErrHelp):
		return account, o, errHelp
	case err != nil:
		return account, o, hint.Usage(err, advice)
	case flags.NArg() > 0:
		return account, o, hint.Usage(fmt.Errorf("token takes one account, and %q was given too", flags.Arg(0)), advice)
	case o.least < 0:
		return account, o, hint.Usage(errors.New("--min is less than zero"), "write a duration like 60s")
	case o.output != "token" && o.output != "json" && o.output != "header":
		return account, o, hint.Usage(fmt.Errorf("--output %q is not known", o.output), "write token, json or header")
	}
	return account, o, nil
}
