package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"ticketproxy/admin"
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
	instance, err := env.adminClient()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	last := errors.New("it was not asked yet")
	for {
		status, _, err := instance.status(ctx)
		switch {
		case err == nil && status.Ready:
			return nil
		case err == nil:
			if err := needsPerson(status); err != nil {
				return err
			}
			last = errors.New(whyNotReady(status))
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

// needsPerson returns an error when waiting is of no use, because only a person can help an
// account.
func needsPerson(s admin.Status) error {
	for _, a := range s.Dead() {
		return hint.With(fmt.Errorf("account %s is dead: %s", printable(a.Account), printable(a.Error)), printable(a.Hint))
	}
	return nil
}

// whyNotReady says which accounts are not usable.
func whyNotReady(s admin.Status) string {
	var all []string
	if s.Draining {
		all = append(all, "it is draining")
	}
	for _, a := range s.NotReady() {
		text := "account " + printable(a.Account) + " is " + printable(a.State)
		if a.Error != "" {
			text += ": " + printable(a.Error)
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}
