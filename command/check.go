package command

import (
	"context"
	"fmt"
	"io"

	"ticketproxy/server"
)

// Check runs the checks that do not spend a refresh token. It prints a line for each check,
// and a hint for each that fails.
func Check(ctx context.Context, env *Env, args []string) error {
	if err := noArguments(env, "check", args); err != nil {
		return err
	}
	c, err := env.configure()
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "ok    configuration: %d upstreams\n", len(c.Upstreams))
	failed := false
	server.Check(ctx, c, env.Network, func(f server.Finding) {
		failed = failed || f.Err != nil
		printFinding(env.Stdout, f)
	})
	if failed {
		return errReported
	}
	return nil
}

func printFinding(w io.Writer, f server.Finding) {
	switch {
	case f.Err != nil:
		fmt.Fprintf(w, "FAIL  %s: %s\n      hint: %s\n", f.Subject, printable(f.Err.Error()), printable(f.Hint))
	case f.Warning != "":
		fmt.Fprintf(w, "warn  %s: %s\n", f.Subject, printable(f.Warning))
	default:
		fmt.Fprintf(w, "ok    %s: %s\n", f.Subject, printable(f.Text))
	}
}
