package command

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"ticketproxy/admin"
)

// Status prints each account of a running instance.
func Status(ctx context.Context, env *Env, args []string) error {
	if err := noArguments(env, "status", args); err != nil {
		return err
	}
	instance, err := env.adminClient()
	if err != nil {
		return err
	}
	code, body, err := instance.ask(ctx, http.MethodGet, "/status")
	if err != nil {
		return err
	}
	var s admin.Status
	if code != http.StatusOK || json.Unmarshal(body, &s) != nil {
		return fmt.Errorf("asking the instance at %s: it answered %d, which is not a status", instance.address, code)
	}
	usable := true
	now := time.Now()
	w := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACCOUNT\tSTATE\tGENERATION\tTOKEN EXPIRES\tREFRESH TOKEN EXPIRES\tNEXT REFRESH")
	for _, a := range s.Accounts {
		usable = usable && a.Usable
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
		fmt.Fprintf(env.Stdout, "\nwarning: %s\n", printable(warning))
	}
	for _, a := range s.Accounts {
		if a.Error != "" {
			fmt.Fprintf(env.Stdout, "\n%s: %s\n", printable(a.Account), printable(a.Error))
		}
		if a.Hint != "" {
			fmt.Fprintf(env.Stdout, "hint: %s\n", printable(a.Hint))
		}
		for _, warning := range a.Warnings {
			fmt.Fprintf(env.Stdout, "\n%s: %s\n", printable(a.Account), printable(warning))
		}
	}
	if !usable {
		return errReported
	}
	return nil
}
