package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"ticketproxy/config"
)

// help prints the verbs, or every variable.
func help(_ context.Context, p *process, args []string) error {
	switch {
	case len(args) == 0:
	case len(args) == 1 && args[0] == "env":
		return config.Help(p.stdout)
	default:
		return usage(errors.New("help knows no such topic"), "ticketproxy help, or ticketproxy help env")
	}
	fmt.Fprint(p.stdout, "ticketproxy lets an app that knows nothing of OAuth call an API through plain HTTP on localhost.\n\nusage: ticketproxy [VERB]\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(p.stdout, "  %-10s %s\n", v.name, v.does)
	}
	fmt.Fprint(p.stdout, "\nIt is configured by its environment: ticketproxy help env\n")
	return nil
}

// printVersion prints the version.
func printVersion(_ context.Context, p *process, args []string) error {
	if err := noArguments("version", args); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "ticketproxy %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// noArguments is for verbs that take none.
func noArguments(verb string, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usage(fmt.Errorf("%s takes no arguments, and %q was given", verb, args[0]), "configuration comes from the environment: ticketproxy help env")
}
