package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/server"
)

// Check runs the checks that do not spend a refresh token. It prints a line for each check,
// and a hint for each that fails. It leaves no file behind. With --caller, it says instead
// what the caller may do.
func Check(ctx context.Context, env *Env, args []string) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(env.Stderr)
	caller := flags.String("caller", "", "say whether this caller of TICKETPROXY_CALLERS_FILE may send a request,\n"+
		"and why; exits 1 if not: check --caller NAME METHOD URL")
	upstream := flags.String("upstream", "", "with --caller: the upstream, where URL does not tell it or is only a path")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return errHelp
	case err != nil:
		return hint.Usage(err, "ticketproxy check --help shows its flags")
	case *caller != "":
		return checkCaller(env, *caller, *upstream, flags.Args())
	case *upstream != "":
		return hint.Usage(errors.New("check --upstream goes with --caller only"),
			"ticketproxy check --caller NAME METHOD URL")
	}
	if flags.NArg() > 0 { // which may be a URL with a key
		return hint.Usage(errors.New("check takes no arguments without --caller"),
			"ticketproxy check --caller NAME METHOD URL")
	}
	c, err := env.configure()
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "ok    configuration: %s\n", count(len(c.Upstreams), "upstream"))
	if err := checkCallers(env, c); err != nil {
		return err
	}
	failed := false
	server.Check(ctx, c, env.Network, func(f server.Finding) {
		failed = failed || f.Err != nil
		printFinding(env.Stdout, f)
	})
	why := "because a token request can spend the refresh token"
	if c.Reader() {
		why = "because a reader has none"
	}
	spendable := func(u config.Upstream) bool { return u.OwnsAccount() && !u.ClientCredentials() }
	if !c.Reader() && !slices.ContainsFunc(c.Upstreams, spendable) {
		why = "because check makes no token request"
	}
	fmt.Fprintln(env.Stdout, "note  credentials: not tried, "+why)
	if failed {
		return errReported
	}
	return nil
}

// count returns a number with its noun, in the singular or the plural.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func printFinding(w io.Writer, f server.Finding) {
	switch {
	case f.Err != nil:
		fmt.Fprintf(w, "FAIL  %s: %s\n      hint: %s\n", f.Subject, printable(f.Err.Error()), printable(f.Hint))
	case f.Note != "":
		fmt.Fprintf(w, "note  %s: %s\n", f.Subject, printable(f.Note))
	case f.Warning != "":
		fmt.Fprintf(w, "warn  %s: %s\n", f.Subject, printable(f.Warning))
	default:
		fmt.Fprintf(w, "ok    %s: %s\n", f.Subject, printable(f.Text))
	}
}
