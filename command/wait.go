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
		dead, err := instance.readiness(ctx)
		switch {
		case err == nil:
			return nil
		case dead:
			return err
		case ctx.Err() == nil: // otherwise err may say only that
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the instance at %s: not ready after %v: %w", instance.address, *timeout, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// readiness returns nil if the instance is ready, and else why it is not. dead reports whether
// an account needs a person.
func (a *adminClient) readiness(ctx context.Context) (dead bool, err error) {
	code, body, err := a.ask(ctx, http.MethodGet, "/readyz?verbose")
	if err != nil || code == http.StatusOK {
		return false, err
	}
	// Off loopback the status is not served, but readiness is.
	if s, _, err := a.status(ctx); err == nil && len(s.Dead()) > 0 {
		c := s.Dead()[0]
		err := fmt.Errorf("account %s is dead: %s", printable(c.Account), printable(c.Error))
		return true, hint.With(err, printable(c.Hint))
	}
	return false, fmt.Errorf("it says: %s", bytes.TrimSpace(body))
}
