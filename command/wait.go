package command

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"time"

	"ticketproxy/hint"
)

// Wait blocks until a running instance is ready, or an account needs a person.
func Wait(ctx context.Context, env *Env, args []string) error {
	flags := flag.NewFlagSet("wait", flag.ContinueOnError)
	flags.SetOutput(env.Stderr)
	timeout := flags.Duration("timeout", time.Minute, "how long to wait")
	if err := parseFlags(env, flags, args); err != nil {
		return err
	}
	if *timeout <= 0 {
		return hint.Usage(errors.New("--timeout is not longer than zero"), "write a duration like 1m")
	}
	instance, err := env.adminClient()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	last := errors.New("it was not asked yet")
	for {
		code, body, err := instance.ask(ctx, http.MethodGet, "/readyz?verbose")
		switch {
		case err == nil && code == http.StatusOK:
			return nil
		case err == nil:
			// Off loopback the status is not served, but readiness is.
			if status, _, err := instance.status(ctx); err == nil && len(status.Dead()) > 0 {
				a := status.Dead()[0]
				return hint.With(fmt.Errorf("account %s is dead: %s", printable(a.Account), printable(a.Error)), printable(a.Hint))
			}
			last = fmt.Errorf("it says: %s", bytes.TrimSpace(body))
		case ctx.Err() == nil:
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the instance at %s: not ready after %v: %w", instance.address, *timeout, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
