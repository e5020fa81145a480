package command

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ticketproxy/config"
	"ticketproxy/hint"
)

// Help prints the verbs, or every variable.
func Help(_ context.Context, env *Env, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "env":
		return config.Help(env.Stdout)
	case len(args) == 0, len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help"):
		printVerbs(env.Stdout)
		return nil
	}
	return hint.Usage(errors.New("help knows no such topic"), "ticketproxy help, or ticketproxy help env")
}

func printVerbs(w io.Writer) {
	fmt.Fprint(w, "ticketproxy lets an app that knows nothing of OAuth call an API through plain HTTP on localhost.\n\n"+
		"usage: ticketproxy [VERB]\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-11s %s\n", v.name, v.does)
	}
	fmt.Fprint(w, "\nIt is configured by its environment: ticketproxy help env\n")
}
