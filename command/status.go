package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"ticketproxy/admin"
)

// Status prints each account of a running instance.
func Status(ctx context.Context, env *Env, args []string) error {
	flags := flag.NewFlagSet("status", flag.ContinueOnError)
	flags.SetOutput(env.Stderr)
	asJSON := flags.Bool("json", false, "print what the instance answers at /status")
	if err := parseFlags(env, flags, args); err != nil {
		return err
	}
	instance, err := env.adminClient()
	if err != nil {
		return err
	}
	s, body, err := instance.status(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		env.Stdout.Write(body)
	} else {
		printStatus(env.Stdout, s, time.Now())
	}
	var unusable []string
	for _, a := range s.Accounts {
		if !a.Usable {
			unusable = append(unusable, printable(a.Account))
		}
	}
	if unusable != nil {
		return errors.New("the instance is running, but not usable: " + strings.Join(unusable, ", "))
	}
	return nil
}

func printStatus(out io.Writer, s admin.Status, now time.Time) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACCOUNT\tSTATE\tGENERATION\tTOKEN EXPIRES\tREFRESH TOKEN EXPIRES\tNEXT REFRESH")
	for _, a := range s.Accounts {
		fmt.Fprintf(
			w,
			"%s\t%s\t%d\t%s\t%s\t%s\n",
			printable(a.Account),
			printable(a.State),
			a.Generation,
			admin.Until(now, a.Expiry),
			admin.Until(now, a.RefreshExpiry),
			admin.Until(now, a.NextRefresh),
		)
	}
	w.Flush()
	for _, warning := range s.Warnings {
		fmt.Fprintf(out, "\nwarning: %s\n", printable(warning))
	}
	for _, a := range s.Accounts {
		if note := admin.RoleNote(a); note != "" {
			fmt.Fprintf(out, "\n%s: %s\n", printable(a.Account), note)
		}
		if a.Error != "" {
			fmt.Fprintf(out, "\n%s: %s\n", printable(a.Account), printable(a.Error))
		}
		if a.Hint != "" {
			fmt.Fprintf(out, "hint: %s\n", printable(a.Hint))
		}
		for _, warning := range a.Warnings {
			fmt.Fprintf(out, "\n%s: %s\n", printable(a.Account), printable(warning))
		}
	}
}
