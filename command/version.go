package command

import (
	"context"
	"fmt"
	"runtime"
)

// Version prints the version.
func Version(_ context.Context, env *Env, args []string) error {
	if err := noArguments(env, "version", args); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "ticketproxy %s %s %s/%s\n", env.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
