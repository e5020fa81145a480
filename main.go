// Command ticketproxy is an authenticating sidecar: it lets an app that knows
// nothing of OAuth talk plain HTTP to localhost, while the API at the far end
// sees a fresh bearer token.
package main

import (
	"fmt"
	"io"
	"log"
	"os"

	"ticketproxy/command"
	"ticketproxy/process"
)

// version is set at build time, with -ldflags "-X main.version=1.2.3".
var version = "devel"

func main() {
	log.SetOutput(io.Discard) // net/http quotes there what peers send, which may be a token
	ctx, signals := process.Watch()
	stderr := process.NewLossyWriter(os.Stderr)
	env := &command.Env{
		Version:   version,
		Environ:   os.Environ(),
		Stdin:     os.Stdin,
		Stdout:    os.Stdout,
		Stderr:    stderr,
		Terminal:  process.IsTerminal(os.Stderr),
		Journal:   process.OnJournal(os.Stderr, os.Getenv("JOURNAL_STREAM")),
		LogOutput: stderr,
		Signals:   signals,
		Limits:    process.ReadLimits(),
	}
	if err := process.Harden(); err != nil {
		fmt.Fprintf(env.Stderr, "ticketproxy: keeping memory out of core dumps: %v\n", err)
	}
	code := command.ExitCode(env.Stderr, command.Run(ctx, env, os.Args[1:]))
	stderr.Flush()
	os.Exit(code)
}
