package command

import (
	"context"

	"ticketproxy/server"
)

// Rekey encrypts every record to the first identity of STATE_KEY_FILE. It prints a line for
// each account, and a hint for each that fails.
func Rekey(ctx context.Context, env *Env, args []string) error {
	if err := noArguments(env, "rekey", args); err != nil {
		return err
	}
	c, err := env.configure()
	if err != nil {
		return err
	}
	failed := false
	err = server.Rekey(ctx, c, func(f server.Finding) {
		failed = failed || f.Err != nil
		printFinding(env.Stdout, f)
	})
	if err == nil && failed {
		return errReported
	}
	return err
}
