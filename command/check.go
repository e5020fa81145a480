package command

import (
	"context"
	"fmt"
	"io"

	"ticketproxy/server"
)

// Check runs the checks that do not spend a refresh token. It prints a line for each check,
// and a hint for each that fails. It leaves no file behind.
func Check(ctx context.Context, env *Env, args []string) error {
	if err := noArguments(env, "check", args); err != nil {
		return err
	}
	c, err := env.configure()
	if err != nil {
		return err
	}
	upstreams := "1 upstream"
	if n := len(c.Upstreams); n > 1 {
		upstreams = fmt.Sprintf("%d upstreams", n)
	}
	fmt.Fprintf(env.Stdout, "ok    configuration: %s\n", upstreams)
	failed := false
	server.Check(ctx, c, env.Network, func(f server.Finding) {
		failed = failed || f.Err != nil
		printFinding(env.Stdout, f)
	})
	fmt.Fprintln(env.Stdout, "note  credentials: not tried, because a token request can spend the refresh token")
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
